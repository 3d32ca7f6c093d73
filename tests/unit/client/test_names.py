"""Names: what a cluster may be called, and what templates make of users' names."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dask_kubernetes.exceptions import DaskKubernetesError, ValidationError
from dask_kubernetes.operator import names

pytestmark = pytest.mark.unit

# The two rules of the CRD, see crds-src/daskcluster.yaml.
CLUSTER_NAME = re.compile(r"^[a-z]([-a-z0-9]*[a-z0-9])?$")


def is_cluster_name(name: str) -> bool:
    return bool(CLUSTER_NAME.match(name)) and len(name) <= 53


@pytest.mark.parametrize("name", ["a", "simple", "a-b", "a1", "a--b", "x" * 53])
def test_names_that_a_cluster_can_have(name: str) -> None:
    assert names.check_cluster_name(name) == name
    assert names.fill_name(name) == name


@pytest.mark.parametrize(
    ("user", "name"),
    [
        ("alice", "dask-alice-0123456789"),
        ("first.last", "dask-first-last-0123456789"),
        ("first_last", "dask-first-last-0123456789"),
        ("Alice", "dask-alice-0123456789"),
        ("alice@example.com", "dask-alice-example-com-0123456789"),
        ("DOMAIN\\alice", "dask-domain-alice-0123456789"),
        ("José", "dask-jose-0123456789"),
        ("-alice-", "dask-alice-0123456789"),
        ("4you", "dask-4you-0123456789"),
        ("a" * 99, f"dask-{'a' * 32}-0123456789"),
        ("李雷", "dask-3a4732-0123456789"),
        ("", "dask-e3b0c4-0123456789"),
    ],
)
def test_the_default_template_fits_every_user(user: str, name: str) -> None:
    assert names.fill_name("dask-{user}-{uuid}", user=user, uuid="0123456789") == name


@settings(deadline=None)
@given(user=st.text(), template=st.sampled_from(["dask-{user}-{uuid}", "{user}", "{uuid}-{user}", "{user}-{HOST}"]))
def test_what_is_filled_in_always_makes_a_name(user: str, template: str) -> None:
    name = names.fill_name(template, user=user, environ={"HOST": user})
    assert is_cluster_name(name), name


@settings(deadline=None)
@given(one=st.text(), other=st.text())
def test_no_two_users_share_a_cluster(one: str, other: str) -> None:
    made = [names.fill_name("dask-{user}", user=user) for user in (one, other)]
    assert (made[0] == made[1]) == (one == other)


@settings(deadline=None)
@given(st.text())
def test_a_slug_is_its_own_slug(text: str) -> None:
    slug = names.slug(text)
    assert names.slug(slug) == slug
    assert re.fullmatch(r"([a-z0-9]+(-[a-z0-9]+)*)?", slug)


def test_every_name_with_a_uuid_is_another() -> None:
    assert len({names.fill_name("dask-{uuid}", user="alice") for _ in range(100)}) == 100


def test_environment_variables_are_filled_in() -> None:
    assert names.fill_name("{TEAM}-{user}", user="alice", environ={"TEAM": "climate"}) == "climate-alice"


def test_a_field_can_be_there_twice() -> None:
    assert names.fill_name("{user}-{user}", user="alice") == "alice-alice"


def test_braces_can_be_escaped_and_are_then_part_of_the_name() -> None:
    with pytest.raises(ValidationError, match=r"'dask-\{a\}'"):
        names.fill_name("dask-{{a}}")


def test_a_user_without_a_name_is_called_user(monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody() -> str:
        raise KeyError("getpwuid(): uid not found: 1000660000")

    monkeypatch.setattr("getpass.getuser", nobody)
    assert names.fill_name("dask-{user}") == "dask-user"


@pytest.mark.parametrize(
    ("template", "error", "told"),
    [
        ("", ValidationError, "such as 'my-cluster'"),
        ("-a", ValidationError, "such as 'a'"),
        ("a-", ValidationError, "no '-' last"),
        ("My_Cluster", ValidationError, "such as 'my-cluster'"),
        ("a.b", ValidationError, "such as 'a-b'"),
        ("1a", ValidationError, "a letter first"),
        ("a\n", ValidationError, "such as 'a'"),
        ("x" * 54, ValidationError, "shorten it to 53"),
        ("Dask-{user}", ValidationError, "such as 'dask-alice'"),
        ("{user", ValidationError, "braces do not match"),
        ("user}", ValidationError, "braces do not match"),
        ("{}", ValidationError, "use {user}, {uuid}"),
        ("{0}", ValidationError, "use {user}, {uuid}"),
        ("{user.__class__}", ValidationError, "more than a name"),
        ("{user[0]}", ValidationError, "more than a name"),
        ("{user!r}", ValidationError, "more than a name"),
        ("{user:{uuid}}", ValidationError, "more than a name"),
        ("{nope}", ValidationError, "{nope} is unknown: use {user}, {uuid} or an environment variable"),
        ("x" * 45 + "{user}", ValidationError, "leaves no room"),
        ("x" * 50 + "{uuid}", ValidationError, "shorten it to 53"),
        (None, TypeError, "give a string such as 'my-cluster'"),
        (3, TypeError, "of type int"),
        (b"dask", TypeError, "of type bytes"),
    ],
)
def test_other_templates_are_refused(template: object, error: type[Exception], told: str) -> None:
    with pytest.raises(error, match=r"^name is") as refused:
        names.fill_name(template, user="alice", environ={})
    assert told in str(refused.value)


@pytest.mark.parametrize("group", ["highmem", "a", "a.b", "0", "x" * 56])
def test_a_worker_group_is_named_after_its_cluster(group: str) -> None:
    name = names.worker_group_name("simple", group)
    assert name == f"simple-{group}"
    assert names.short_worker_group_name("simple", name) == group


@pytest.mark.parametrize(
    ("group", "error", "told"),
    [
        ("", ValidationError, "such as 'highmem'"),
        ("High_Mem", ValidationError, "such as 'high-mem'"),
        ("a-", ValidationError, "a letter or digit last"),
        ("a..b", ValidationError, "such as 'a-b'"),
        ("x" * 57, ValidationError, "shorten it by 1"),
        (None, TypeError, "give a string such as 'highmem'"),
        (1, TypeError, "of type int"),
    ],
)
def test_other_names_of_worker_groups_are_refused(group: object, error: type[Exception], told: str) -> None:
    with pytest.raises(error, match=r"^name is") as refused:
        names.worker_group_name("simple", group)
    assert told in str(refused.value)


@pytest.mark.parametrize("namespace", ["", "Default", "a.b", "-a", "x" * 64, "a b"])
def test_other_namespaces_are_refused(namespace: str) -> None:
    with pytest.raises(ValidationError, match=r"^namespace is .*leave it out for the current namespace"):
        names.check_namespace(namespace)


def test_a_namespace_is_a_string() -> None:
    with pytest.raises(TypeError, match=r"^namespace is 1, of type int: give a string such as 'default'"):
        names.check_namespace(1)


def test_what_is_refused_is_caught_as_before_and_as_ours() -> None:
    for kind in (ValueError, DaskKubernetesError):
        with pytest.raises(kind) as refused:
            names.check_cluster_name("No")
        assert refused.value.message == str(refused.value)  # type: ignore[attr-defined]
