"""What people may do: with the documented role, and with the roles that Kubernetes has for users."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
import yaml

from tests.platform import Object, Platform, dask_cluster, eventually
from tests.rights import Account, Right, granted

pytestmark = pytest.mark.e2e

GROUP = "kubernetes.dask.org"
KINDS = ("daskclusters", "daskworkergroups", "daskjobs", "daskautoscalers")
READ = ("get", "list", "watch")
WRITE = ("create", "update", "patch", "delete", "deletecollection")
# All that the API server knows of a scale; the documented role gives more verbs on it, which mean nothing.
SCALE = {Right(GROUP, "daskworkergroups/scale", verb) for verb in ("get", "patch")}

ROLE, BINDING = yaml.safe_load_all((Path(__file__).parents[2] / "examples" / "user-role.yaml").read_text())
DOCUMENTED = {right for right in granted(ROLE["rules"]) if "/scale" not in right.resource} | SCALE


@pytest.fixture(autouse=True)
def once(request: pytest.FixtureRequest) -> None:
    """What people may do is the same in both runs of the suite, but for what only a cluster-wide operator adds."""
    if request.config.getoption("single_namespace"):
        pytest.skip("told by the run without --single-namespace")


@pytest.fixture
def documented_role(platform: Platform) -> Iterator[str]:
    """The name of the role of the documentation, for as long as the test lasts."""
    name = platform.namespace  # the role is in no namespace
    platform.apply({**ROLE, "metadata": {"name": name}})
    yield name
    platform.kubectl("delete", "clusterrole", name)


def given(platform: Platform, role: str) -> str:
    """Bind a role as the documentation has it; returns the flag that makes kubectl the one who was given it."""
    account = Account(platform.namespace, f"has-{role}")
    subject = {**BINDING["subjects"][0], "namespace": account.namespace, "name": account.name}
    metadata = {"name": account.name}
    platform.apply(
        {**BINDING, "metadata": metadata, "roleRef": {**BINDING["roleRef"], "name": role}, "subjects": [subject]}
    )
    return f"--as={account.user}"


def allowed(platform: Platform, user: str, rights: Iterable[Right]) -> set[Right]:
    """Those of some rights that a user has in the test's namespace, as ``kubectl auth can-i`` says."""
    asked = list(rights)
    reviews = [_review(platform.namespace, right) for right in asked]
    answers = platform.kubectl(
        *("create", user, "--validate=false", "-f", "-", "-o", "jsonpath={.status.allowed}{'\\n'}"),
        input=yaml.safe_dump_all(reviews),
    )
    return {right for right, answer in zip(asked, answers.split(), strict=True) if answer == "true"}


def _review(namespace: str, right: Right) -> Object:
    name, _, subresource = right.resource.partition("/")
    what = {"namespace": namespace, "group": right.group, "resource": name, "subresource": subresource}
    return {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": {**what, "verb": right.verb}},
    }


def test_the_documented_role_is_enough_and_gives_no_more(platform: Platform, documented_role: str) -> None:
    user = given(platform, documented_role)
    cluster = dask_cluster("mine", platform.dask_image, replicas=1)
    autoscaler = {
        "apiVersion": cluster["apiVersion"],
        "kind": "DaskAutoscaler",
        "metadata": {"name": "mine"},
        "spec": {"cluster": "mine", "minimum": 1, "maximum": 2},
    }
    platform.kubectl(user, "apply", "-f", "-", input=yaml.safe_dump(cluster))
    platform.kubectl(user, "wait", "--for=condition=Ready", "daskcluster/mine", "--timeout=120s")
    platform.kubectl(user, "scale", "daskworkergroup/mine-default", "--replicas=2")
    platform.kubectl(
        user, "wait", "--for=jsonpath={.status.replicas}=2", "daskworkergroup/mine-default", "--timeout=120s"
    )
    assert "mine-scheduler" in platform.kubectl(user, "get", "pods,services")
    platform.kubectl(user, "apply", "-f", "-", input=yaml.safe_dump(autoscaler))
    platform.kubectl(user, "delete", "daskautoscaler,daskcluster", "mine")
    eventually("nothing left", platform.remains, lambda found: not found)

    others = {
        Right("", "pods", "create"),
        Right("", "pods/exec", "create"),
        Right("", "secrets", "get"),
        Right("apps", "deployments", "create"),
        Right(GROUP, "daskclusters/status", "patch"),
    }
    assert allowed(platform, user, DOCUMENTED | others) == DOCUMENTED


@pytest.fixture
def kubeflow_roles(platform: Platform) -> Iterator[dict[str, str]]:
    """The roles that Kubeflow adds up from others, as its manifests have them, by what they are for."""
    names = {sum_: f"{platform.namespace}-kubeflow-{sum_}" for sum_ in ("view", "edit", "admin")}
    for sum_, name in names.items():
        selected = {"matchLabels": {f"rbac.authorization.kubeflow.org/aggregate-to-kubeflow-{sum_}": "true"}}
        rule = {"aggregationRule": {"clusterRoleSelectors": [selected]}, "rules": []}
        metadata = {"name": name}
        platform.apply({"apiVersion": ROLE["apiVersion"], "kind": "ClusterRole", "metadata": metadata, **rule})
    yield names
    platform.kubectl("delete", "clusterrole", *names.values())


def test_the_roles_for_users_have_rights_on_dasks_kinds(platform: Platform, kubeflow_roles: dict[str, str]) -> None:
    reading = {Right(GROUP, kind, verb) for kind in KINDS for verb in READ}
    writing = {Right(GROUP, kind, verb) for kind in KINDS for verb in WRITE} | SCALE
    inner = {Right(GROUP, f"{kind}/status", "patch") for kind in KINDS}
    expectations = {"view": reading, "edit": reading | writing, "admin": reading | writing}
    for role, expected in [
        *expectations.items(),
        *((kubeflow_roles[sum_], expectations[sum_]) for sum_ in expectations),
    ]:
        user = given(platform, role)
        # Kubernetes adds rights up in the background.
        eventually(
            f"the rights of {role}",
            lambda user=user: allowed(platform, user, reading | writing | inner),  # type: ignore[misc]
            lambda found, expected=expected: found == expected,  # type: ignore[misc]
        )
    assert allowed(platform, given(platform, "edit"), DOCUMENTED) == DOCUMENTED
