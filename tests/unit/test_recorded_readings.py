"""Readings with a mark stand in the run folder and in the report, with what their mark means."""

from __future__ import annotations

from pathlib import Path

from synthetic_run import START_MS, SyntheticCommittee, deployment, key

from agents.announcements import ReceiptLine
from agents.recorder import Recorder
from agents.run_folder import RunFolder
from agents.tables import Table
from market.readings import Quality, Reading, quality_words
from market.receipts import ReasonCode
from mosquitto.batch import encode_batch
from mosquitto.codec import encode
from mosquitto.envelope import Kind, sign
from mosquitto.local_bus import LocalNetwork


def test_an_accepted_reading_with_a_mark_is_written_and_a_plain_or_refused_one_is_not(tmp_path: Path) -> None:
    folder = RunFolder.create(tmp_path / "run", "")
    network = LocalNetwork(start_ms=START_MS)
    recorder = Recorder(folder, deployment(), network.bus("recorder"), lambda: network.now_ms)
    committee = SyntheticCommittee(network, recorder.deployment)
    home = recorder.deployment.participants[0]
    meter = home.meters[0]
    ids = []
    for period, quality in enumerate([Quality.GATEWAY | Quality.ESTIMATED, Quality.GOOD, Quality.GATEWAY]):
        reading = Reading(
            meter_id=meter.meter_id,
            period=period,
            import_wh=100 * period,
            export_wh=0,
            measured_ms=START_MS,
            quality=int(quality),
            counter=period,
        )
        signer = next(pair for pair in map(key, (meter.meter_id, home.name)) if pair.public == meter.public_key)
        envelope = sign(
            signer, Kind.TRANSACTION, recorder.deployment.chain_id, encode(reading.call_fields(9, period))
        )
        committee.bus.publish(committee.topics.reading(meter.meter_id), encode_batch([envelope.encode()]))
        ids.append(envelope.content_id())
    committee.bus.poll(0)
    codes = [ReasonCode.OK, ReasonCode.OK, ReasonCode.READING_TOO_LATE]
    committee.receipts(5, [ReceiptLine(one, int(code), 0) for one, code in zip(ids, codes, strict=True)], [0, 1])
    committee.bus.poll(0)
    recorder.close()
    table = Table.read(folder.readings_csv)
    assert table.texts("quality") == ["gateway+estimated"]
    assert table.texts("account") == [home.name]
    assert table.integers("height").tolist() == [5]


def test_marks_have_words() -> None:
    assert quality_words(0) == "good"
    assert quality_words(Quality.GATEWAY | Quality.GAP | Quality.RESTARTED) == "gateway+gap+restarted"
