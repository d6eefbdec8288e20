from pathlib import Path

import pytest

from agents.errors import ConfigurationError
from agents.scenario import Scenario, ScenarioError

ROOT = Path(__file__).resolve().parents[2]
DEFAULT = ROOT / "scenarios" / "neighbourhood.toml"
TEXT = DEFAULT.read_text(encoding="utf-8")

SMALL = """
[scenario]
name = "small"
[[region]]
name = "street"
[[homes]]
name = "home"
region = "street"
count = 3
"""


def mistakes(text: str) -> tuple[str, ...]:
    with pytest.raises(ScenarioError) as caught:
        Scenario.parse(text, "test.toml")
    return caught.value.mistakes


def test_the_default_scenario_is_the_neighbourhood() -> None:
    scenario = Scenario.load(DEFAULT)
    homes = scenario.homes
    assert sum(group.count for group in homes) == 40
    assert sum(group.with_pv for group in homes) == 20
    assert sum(group.with_battery for group in homes) == 8
    assert sorted(entry.kind for entry in scenario.producers) == ["hydro", "wind"]
    assert sum(entry.battery.capacity_kwh for entry in scenario.speculators) == 80
    assert sum(entry.battery.power_kw for entry in scenario.speculators) == 40
    assert (scenario.market.periods, scenario.market.period_minutes, scenario.market.pace) == (96, 15, "lockstep")
    assert len(scenario.region_names) == 2
    assert len(scenario.ledger.nodes) == 4


def test_all_mistakes_are_named_at_once_with_file_key_value_and_what_is_right() -> None:
    text = (
        TEXT.replace("seed = 1", "seed = 1.5")
        .replace('"strict"', '"stict"')
        .replace("with_pv = 10", "with_pv = 30")
        .replace("day = 2016-05-18", 'day = "spring"')
        .replace('name = "wind-north"', 'name = "a/#"')
    )
    found = "\n".join(mistakes(text))
    assert "test.toml: scenario.seed = 1.5: wrong value; expected an integer" in found
    assert "test.toml: market.region_priority = \"stict\": not a choice; expected 'strict' or 'tie'" in found
    assert "test.toml: homes[0]: with_pv 30 is more than count 20; expected at most count" in found
    assert 'test.toml: profiles.day = "spring": wrong value; expected a date' in found
    assert 'test.toml: producer[0].name = "a/#": not usable as a name; expected' in found


def test_an_unknown_key_is_answered_with_the_one_that_was_meant() -> None:
    assert mistakes(TEXT.replace("price_step_micro", "price_stp_micro")) == (
        "test.toml: strategy.price_stp_micro: unknown key; did you mean price_step_micro?",
    )
    assert mistakes(TEXT.replace("[forecast]", "[forcast]")) == (
        "test.toml: forcast: unknown section; did you mean forecast?",
    )
    nested = mistakes(SMALL + "battery = { capacity_kwh = 5.0, power_kw = 2.0, eficiency = 0.9 }")
    assert nested == ("test.toml: homes[0].battery.eficiency: unknown key; did you mean efficiency?",)


def test_an_unknown_region_is_found_even_beside_other_mistakes() -> None:
    text = TEXT.replace('region = "south"', 'region = "sout"').replace("seed = 1", "seed = -1")
    found = mistakes(text)
    assert 'test.toml: homes[1].region = "sout": no such region; did you mean south?' in found
    assert any("scenario.seed = -1" in mistake for mistake in found)


@pytest.mark.parametrize("name", ["regulator", "cashier", "north", "home-02"])
def test_names_that_are_taken_are_refused(name: str) -> None:
    text = SMALL.replace('name = "home"', 'name = "home"\nwith_pv = 1') + (
        f'[[producer]]\nname = "{name}"\nregion = "street"\nkind = "wind"\npower_kw = 1.0\ncost_micro = 1\n'
        '[[producer]]\nname = "north"\nregion = "street"\nkind = "wind"\npower_kw = 1.0\ncost_micro = 1\n'
    )
    assert any("taken" in mistake for mistake in mistakes(text))


@pytest.mark.parametrize("count", [2, 3, 5, 6])
def test_a_committee_has_3f_plus_1_members(count: int) -> None:
    nodes = ", ".join(f'"n{index}"' for index in range(count))
    found = mistakes(SMALL + f"[ledger]\nnodes = [{nodes}]")
    assert len(found) == 1
    assert "is not 3 f + 1" in found[0]


def test_prices_must_stand_in_order() -> None:
    assert "feed_in_micro <= retail_micro" in mistakes(SMALL + "[market]\nfeed_in_micro = 400_000")[0]
    assert "cannot be ordered at" in mistakes(SMALL + "[market]\nhighest_price_micro = 200_000")[0]
    assert (
        "expected region_priority"
        in mistakes(SMALL + '[market]\nprice_rule = "uniform"\nregion_priority = "tie"')[0]
    )


@pytest.mark.parametrize(
    ("role", "extra", "expected"),
    [
        ("consumer", "", "annual_kwh above 0"),
        ("consumer", "annual_kwh = 2.0\npv_kwp = 2.0", 'role = "prosumer"'),
        ("producer", "", "expected one of them"),
        ("producer", "wind_kw = 1.0\nannual_kwh = 2.0", 'role = "prosumer"'),
        ("prosumer", "annual_kwh = 2.0", "expected one of them"),
        ("speculator", "", "expected a battery table"),
    ],
)
def test_a_participant_has_what_its_role_needs(role: str, extra: str, expected: str) -> None:
    found = mistakes(SMALL + f'[[participant]]\nname = "x"\nregion = "street"\nrole = "{role}"\n{extra}\n')
    assert len(found) == 1
    assert expected in found[0]


def test_a_market_needs_somebody() -> None:
    text = '[scenario]\nname = "empty"\n[[region]]\nname = "street"\n'
    assert "nobody takes part" in mistakes(text)[0]


def test_missing_sections_are_named() -> None:
    found = mistakes("")
    assert "test.toml: scenario: missing; expected a section [scenario]" in found
    assert "test.toml: region: missing; expected a section [[region]]" in found


def test_text_that_is_not_toml_names_the_line() -> None:
    assert "line 2" in mistakes("[scenario]\nname = \n")[0]


def test_a_file_that_is_not_there_is_a_configuration_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"none\.toml: cannot be read"):
        Scenario.load(tmp_path / "none.toml")


def test_every_value_may_be_nonsense_and_the_answer_is_a_list_of_mistakes() -> None:
    for key in (
        "scenario",
        "market",
        "ledger",
        "profiles",
        "forecast",
        "strategy",
        "region",
        "homes",
        "participant",
    ):
        for nonsense in (3, "x", [], [1], {}, {"x": {}}, [{}], None, [[]]):
            try:
                Scenario.from_values({"scenario": {"name": "x"}, "region": [{"name": "a"}], key: nonsense})
            except ScenarioError as error:
                assert error.mistakes


def test_written_out_as_toml_it_reads_the_same() -> None:
    scenario = Scenario.load(DEFAULT).changed(seed=7, periods=4)
    assert Scenario.parse(scenario.to_toml()) == scenario
    quoted = Scenario.parse(SMALL.replace('"small"', '"small"\ndescription = "a \\"b\\"\\nü\\u007f"'))
    assert Scenario.parse(quoted.to_toml()) == quoted
    explicit = SMALL + '[[participant]]\nname = "x"\nregion = "street"\nrole = "consumer"\nannual_kwh = 3000.0\n'
    assert Scenario.parse(Scenario.parse(explicit).to_toml()) == Scenario.parse(explicit)


def test_seed_and_length_can_be_changed_and_are_checked_again() -> None:
    scenario = Scenario.parse(SMALL)
    assert scenario.changed(seed=9).scenario.seed == 9
    assert scenario.changed() is scenario
    with pytest.raises(ScenarioError, match=r"market\.periods = 0"):
        scenario.changed(periods=0)


def test_period_zero_begins_at_midnight_utc() -> None:
    assert Scenario.load(DEFAULT).first_period_ms == 1_463_529_600_000
