"""Which cluster is reused, revived, replaced or refused."""

from __future__ import annotations

import io
import socket
import time
from pathlib import Path

import pytest
import yaml

from ci import cluster, engine, existing, host, node_image, nodes, readiness, tools
from ci.cache import Cache
from ci.console import Failure
from ci.nodes import Node

pytestmark = [pytest.mark.unit, pytest.mark.usefixtures("docker", "said")]

IMAGE = "kind-from-anywhere/node:v1.36.3-0123456789abcdef"


class Engine:
    """An engine with the nodes it is given, which notes what is done to them."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, cache: Cache) -> None:
        self.cache = cache
        self.nodes: list[Node] = []
        self.ready = True
        self.done: list[str] = []
        monkeypatch.setattr(engine, "ensure", lambda _=None: "28")
        monkeypatch.setattr(engine, "runs", lambda: True)
        monkeypatch.setattr(nodes, "of_cluster", lambda _: self.nodes)
        monkeypatch.setattr(nodes, "remove", self._remove)
        monkeypatch.setattr(node_image, "ensure", lambda *_: IMAGE)
        monkeypatch.setattr(readiness, "is_ready", lambda *_: self.ready)
        monkeypatch.setattr(readiness, "wait", self._wait)
        monkeypatch.setattr(tools, "ensure", lambda names, _=None: {name: Path(f"/bin/{name}") for name in names})
        monkeypatch.setattr(cluster, "_require_space", lambda: None)
        monkeypatch.setattr(cluster, "_create", self._create)
        monkeypatch.setattr(cluster, "run", lambda command, **_: self.done.append(" ".join(command)))
        monkeypatch.setattr(cluster, "output", lambda *_, **__: (0, "a kubeconfig", ""))

    def exists(self, *, running: bool, whole: bool, started: float = 0) -> None:
        self.nodes = [Node("test-control-plane", IMAGE, running, started)]
        folder = self.cache.folder("clusters/test")
        if whole:
            (folder / "whole").touch()
            (folder / "kubeconfig").write_text("theirs")

    def _remove(self, name: str) -> None:
        self.done.append(f"remove {name}")
        self.nodes = []

    def _create(self, name: str, image: str, *_: object) -> None:
        self.done.append(f"create {name} of {image}")

    def _wait(self, *_: object, **__: object) -> None:
        self.done.append("wait")
        if not self.ready:
            raise Failure("not ready")


@pytest.fixture
def docker(monkeypatch: pytest.MonkeyPatch, cache: Cache) -> Engine:
    return Engine(monkeypatch, cache)


CREATED = f"create test of {IMAGE}"


def test_a_cluster_is_made(docker: Engine, cache: Cache) -> None:
    found = cluster.ensure("test", cache=cache)
    assert docker.done == [CREATED]
    assert found.kubeconfig == cache.root / "clusters" / "test" / "kubeconfig"
    assert found.node_image == IMAGE
    assert found.config is not None
    assert found.config.is_file()


def test_a_healthy_one_is_reused(docker: Engine, cache: Cache) -> None:
    docker.exists(running=True, whole=True)
    assert cluster.ensure("test", cache=cache).node_image == IMAGE
    assert docker.done == []


def test_a_stopped_one_is_started(docker: Engine, cache: Cache) -> None:
    docker.exists(running=False, whole=True)
    cluster.ensure("test", cache=cache)
    assert docker.done == ["docker start test-control-plane"]


def test_a_stopped_one_that_does_not_come_back_is_replaced(docker: Engine, cache: Cache, said: io.StringIO) -> None:
    docker.exists(running=False, whole=True)
    docker.ready = False
    cluster.ensure("test", cache=cache)
    assert docker.done == ["docker start test-control-plane", "wait", "remove test", CREATED]
    assert "it is replaced" in said.getvalue()


def test_one_that_was_restarted_behind_our_back_and_does_not_come_back_is_replaced(
    docker: Engine, cache: Cache
) -> None:
    docker.exists(running=True, whole=True, started=time.time() + 60)
    docker.ready = False
    cluster.ensure("test", cache=cache)
    assert docker.done == ["wait", "remove test", CREATED]


def test_one_that_nobody_stopped_is_never_thrown_away(docker: Engine, cache: Cache) -> None:
    docker.exists(running=True, whole=True)
    docker.ready = False
    with pytest.raises(Failure, match=r"runs but is not ready after 120 s; look into it with .*, or remove it with"):
        cluster.ensure("test", cache=cache)
    assert docker.done == ["wait"]


@pytest.mark.parametrize("running", [True, False])
def test_a_half_made_one_is_replaced(docker: Engine, cache: Cache, running: bool) -> None:
    docker.exists(running=running, whole=False)
    docker.ready = False
    cluster.ensure("test", cache=cache)
    assert docker.done[-2:] == ["remove test", CREATED]


def test_a_healthy_one_of_another_cache_is_taken_over(docker: Engine, cache: Cache) -> None:
    docker.exists(running=True, whole=False)
    found = cluster.ensure("test", cache=cache)
    assert docker.done == []
    assert found.kubeconfig.read_text() == "a kubeconfig"
    assert found.kubeconfig.stat().st_mode & 0o077 == 0


def test_another_version_is_refused_and_nothing_is_touched(docker: Engine, cache: Cache) -> None:
    docker.exists(running=False, whole=True)
    with pytest.raises(Failure, match=r"runs Kubernetes 1\.36\.3, not 1\.34\.4; choose another --name, or remove it"):
        cluster.ensure("test", kubernetes="1.34.4", cache=cache)
    assert docker.done == []


def test_the_published_image_is_of_the_version_it_stands_for() -> None:
    published = "kindest/node:v1.36.4@sha256:099e049362a1526b2db71494e1947aae99bd16290d7c895f2b7ea312e3cbfaed"
    assert node_image.versions_of(published) == ["1.36.3"]
    assert node_image.versions_of(IMAGE) == ["1.36.3"]
    assert node_image.versions_of("kindest/node:v1.30.0") == ["1.30.0"]
    assert node_image.versions_of("0123abc") == []


@pytest.mark.parametrize("name", ["", "Upper", "../up", "a b", "-x", "x" * 50])
def test_a_name_that_is_none_is_refused(cache: Cache, name: str) -> None:
    for action in (lambda: cluster.ensure(name, cache=cache), lambda: cluster.down(name, cache)):
        with pytest.raises(Failure, match="cannot be the name of a cluster"):
            action()


def test_a_configuration_that_is_not_there_is_a_sentence(cache: Cache, tmp_path: Path) -> None:
    with pytest.raises(Failure, match=r"none\.yaml cannot be read"):
        cluster.ensure("test", config=tmp_path / "none.yaml", cache=cache)


def test_a_port_in_use_is_a_sentence_before_anything_is_built(docker: Engine, cache: Cache, tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        config = tmp_path / "kind.yaml"
        config.write_text(f"kind: Cluster\nnetworking:\n  apiServerPort: {port}\n")
        with pytest.raises(Failure, match=f"port {port}, .* cannot be used .* choose another"):
            cluster.ensure("test", config=config, cache=cache)
    assert docker.done == []


def test_the_image_built_here_makes_one_node(cache: Cache, tmp_path: Path) -> None:
    config = tmp_path / "kind.yaml"
    config.write_text("kind: Cluster\nnodes:\n- role: control-plane\n- role: worker\n")
    with pytest.raises(Failure, match="makes clusters of one node"):
        cluster.ensure("test", config=config, cache=cache)
    published = cluster.write_kind_config("test", "kindest/node:v1.36.4@sha256:0", config, cache)
    assert "disableDefaultCNI" not in published.read_text()


def test_down_removes_the_cluster_and_its_files(docker: Engine, cache: Cache) -> None:
    docker.exists(running=True, whole=True)
    assert cluster.down("test", cache)
    assert docker.done == ["remove test"]
    assert not (cache.root / "clusters" / "test").exists()
    assert not cluster.down("test", cache)


def test_only_images_that_are_not_there_are_loaded(
    docker: Engine, cache: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    docker.exists(running=True, whole=True)
    monkeypatch.setattr(nodes, "holds", lambda _, image: image == "there:1")
    assert cluster.load(["there:1", "new:1"], "test", cache) == ["new:1"]
    assert docker.done == ["/bin/kind load docker-image --name test new:1"]
    assert cluster.load(["there:1"], "test", cache) == []


def test_loading_into_no_cluster_is_a_sentence(cache: Cache) -> None:
    with pytest.raises(Failure, match="there is no cluster named test; make it with"):
        cluster.load(["new:1"], "test", cache)


@pytest.mark.parametrize(
    ("log", "sentence"),
    [
        ("Bind for 127.0.0.1:6443 failed: port is already allocated", "is in use; choose another"),
        ("OCI runtime create failed: unable to apply caps: operation not permitted", "lacks CAP_SYS_RESOURCE"),
        ("Failed to allocate: too many open files", "fs.inotify.max_user_instances"),
        ("something else", "^creating failed"),
    ],
)
def test_known_reasons_are_told_apart(tmp_path: Path, log: str, sentence: str) -> None:
    (tmp_path / "log").write_text(f"ERROR: failed to create cluster\n{log}\n")
    with pytest.raises(Failure, match=sentence):
        raise cluster._explained(Failure("creating failed"), tmp_path / "log")


class TestExisting:
    """CLUSTER=existing."""

    @pytest.fixture(autouse=True)
    def _existing(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("CLUSTER", "existing")
        monkeypatch.setattr(engine, "ensure", lambda _=None: pytest.fail("an engine was asked for"))

    @pytest.fixture
    def kubeconfig(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
        file = tmp_path / "config"
        file.write_text("")
        monkeypatch.setenv("KUBECONFIG", str(file))
        monkeypatch.setattr(existing, "output", lambda *_, **__: (0, '{"serverVersion": {}}', ""))
        return file

    def test_the_cluster_that_answers_is_used(self, docker: Engine, cache: Cache, kubeconfig: Path) -> None:
        found = cluster.ensure("ignored", cache=cache)
        assert found.kubeconfig == kubeconfig
        assert (found.kind, found.node_image, found.config) == (None, None, None)
        assert docker.done == []

    def test_without_kubeconfig(self, cache: Cache) -> None:
        with pytest.raises(Failure, match="CLUSTER=existing needs KUBECONFIG"):
            cluster.ensure(cache=cache)

    def test_with_a_kubeconfig_that_is_no_file(
        self, cache: Cache, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
        with pytest.raises(Failure, match="none, which is not a file"):
            cluster.ensure(cache=cache)

    def test_with_several_kubeconfigs(self, cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("KUBECONFIG", "a:b")
        with pytest.raises(Failure, match="names several files"):
            cluster.ensure(cache=cache)

    @pytest.mark.usefixtures("kubeconfig")
    def test_with_a_cluster_that_does_not_answer(self, cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
        said = "E1121 memcache.go\nThe connection to the server localhost:1 was refused"
        monkeypatch.setattr(existing, "output", lambda *_, **__: (1, '{"clientVersion": {}}', said))
        with pytest.raises(
            Failure, match=r"does not answer \(The connection to the server localhost:1 was refused\)"
        ):
            cluster.ensure(cache=cache)

    def test_down_deletes_nothing(self, docker: Engine, cache: Cache) -> None:
        docker.exists(running=True, whole=True)
        assert not cluster.down("test", cache)
        assert docker.done == []
        assert (cache.root / "clusters" / "test" / "whole").exists()

    @pytest.mark.usefixtures("kubeconfig")
    def test_images_cannot_be_loaded_into_a_cluster_elsewhere(
        self, cache: Cache, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        answers = {"version": '{"serverVersion": {}}', "current-context": "production\n"}
        monkeypatch.setattr(
            existing,
            "output",
            lambda command, **_: (0, next(answers[word] for word in command if word in answers), ""),
        )
        with pytest.raises(Failure, match="push them to a registry that it can pull from"):
            cluster.load(["new:1"], cache=cache)

    @pytest.mark.usefixtures("kubeconfig")
    def test_images_are_loaded_into_a_kind_cluster_of_this_engine(
        self, docker: Engine, cache: Cache, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        docker.exists(running=True, whole=False)
        answers = {"version": '{"serverVersion": {}}', "current-context": "kind-theirs\n"}
        monkeypatch.setattr(
            existing,
            "output",
            lambda command, **_: (0, next(answers[word] for word in command if word in answers), ""),
        )
        monkeypatch.setattr(nodes, "holds", lambda *_: False)
        assert cluster.load(["new:1"], cache=cache) == ["new:1"]
        assert docker.done == ["/bin/kind load docker-image --name theirs new:1"]


def test_names_of_images_are_those_containerd_uses() -> None:
    expected = {
        "python": "docker.io/library/python:latest",
        "python:3.13": "docker.io/library/python:3.13",
        "kind-from-anywhere/node:1": "docker.io/kind-from-anywhere/node:1",
        "ghcr.io/dask/operator:1": "ghcr.io/dask/operator:1",
        "localhost:5000/operator": "localhost:5000/operator:latest",
        "localhost/operator:1": "localhost/operator:1",
    }
    assert {image: nodes.full_name(image) for image in expected} == expected


def test_the_host_is_not_asked_for_more_than_it_is(monkeypatch: pytest.MonkeyPatch, cache: Cache) -> None:
    monkeypatch.setattr(host, "has_cgroup_v1", lambda: False)
    monkeypatch.setattr(host, "lacks_sys_resource", lambda: False)
    written = cluster.write_kind_config("test", "kindest/node:v1.36.4@sha256:0", cache=cache).read_text()
    assert written.startswith("kind: Cluster\napiVersion: kind.x-k8s.io/v1alpha4\n")
    assert not {"networking", "featureGates"} & yaml.safe_load(written).keys()
    assert "KubeletConfiguration" not in written
