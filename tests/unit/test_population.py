from pathlib import Path

from agents.population import name_hash, populate
from agents.scenario import Scenario
from devices.sites import SiteConfig

DEFAULT = Path(__file__).resolve().parents[2] / "scenarios" / "neighbourhood.toml"


def neighbourhood(seed: int = 1) -> Scenario:
    return Scenario.load(DEFAULT).changed(seed=seed)


def test_everybody_is_spelled_out_once() -> None:
    people = populate(neighbourhood()).participants
    assert len(people) == 44
    assert len({person.name for person in people}) == 44
    assert len({person.site.meter_id for person in people}) == 44
    roles = [person.role for person in people]
    assert {role: roles.count(role) for role in set(roles)} == {
        "prosumer": 20,
        "consumer": 20,
        "producer": 2,
        "speculator": 2,
    }


def test_the_same_seed_gives_the_same_people_and_another_gives_others() -> None:
    assert populate(neighbourhood()) == populate(neighbourhood())
    assert populate(neighbourhood()) != populate(neighbourhood(2))


def test_no_two_homes_use_energy_alike() -> None:
    households = [site.household for site in populate(neighbourhood()).sites if site.household]
    assert len(households) == 40
    assert len({(home.shape, home.week_shift, home.quarter_shift) for home in households}) == 40


def test_drawn_sizes_stay_in_the_ranges_of_the_group() -> None:
    for site in populate(neighbourhood(5)).sites:
        if site.household:
            assert 1_500 <= site.household.annual_kwh <= 6_000
            if site.pv:
                assert 3 <= site.pv.kwp <= 10


def test_panels_and_batteries_on_more_homes_change_nobody_elses_use() -> None:
    few = populate(neighbourhood())
    values = neighbourhood().model_dump(by_alias=True)
    for group in values["homes"]:
        group.update(with_pv=20, with_battery=20)
    many = populate(Scenario.from_values(values))
    assert [site.household for site in few.sites] == [site.household for site in many.sites]


def test_plants_reach_the_power_that_was_asked_for() -> None:
    sites = {site.name: site for site in populate(neighbourhood()).sites}
    assert sites["wind-north"].generation_peak_w() == 12_000
    assert sites["hydro-south"].generation_peak_w() == 8_000


def test_meters_are_registered_for_what_their_site_can_do_and_not_much_more() -> None:
    for person in populate(neighbourhood()).participants:
        export_wh = person.site.max_export_w() / 4
        assert export_wh <= person.max_export_wh(0.25) <= export_wh * 1.06 + 1
        assert bool(person.max_import_wh(0.25)) == (person.role != "producer")


def test_sites_survive_json() -> None:
    for site in populate(neighbourhood()).sites:
        assert SiteConfig.from_json(site.to_json()) == site


def test_an_explicit_participant_stands_beside_the_groups() -> None:
    values = neighbourhood().model_dump(by_alias=True)
    values["participant"] = [
        {"name": "bakery", "role": "prosumer", "region": "north", "annual_kwh": 20_000.0, "pv_kwp": 20.0}
    ]
    bakery = populate(Scenario.from_values(values)).participants[-1]
    assert (bakery.name, bakery.role, bakery.site.household is not None) == ("bakery", "prosumer", True)
    assert bakery.site.pv is not None
    assert bakery.site.pv.kwp == 20.0


def test_names_are_hashed_with_a_salt_of_their_own() -> None:
    assert len(name_hash(1, "home-01")) == 32
    assert len({name_hash(seed, name) for seed in (1, 2) for name in ("a", "b")}) == 4
