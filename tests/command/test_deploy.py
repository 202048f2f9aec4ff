"""What deploy/ has is valid: templates parse, their commands are ours, and their metrics exist."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipelines.configuration.fields import environment_name
from pipelines.configuration.settings import SECTION, Settings
from stripe_elt.commands import status
from stripe_elt.textfile import METRICS
from tests.pipelines.mirror import Mirror
from tests.test_coming_from import understood
from webhook_sink.commit.metrics import Metrics

ROOT = Path(__file__).resolve().parent.parent.parent
DEPLOY = ROOT / "deploy"
UNITS = sorted((DEPLOY / "systemd").glob("*.service"))
SECRETS = {"DATABASE_URL", "STRIPE_SECRET_KEY", "STRIPE_WEBHOOK_SECRET"}


def documents(name: str) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all((DEPLOY / name).read_text("utf-8")))


def kubernetes(kind: str) -> list[dict[str, Any]]:
    return [document for document in documents("kubernetes.yml") if document["kind"] == kind]


def pods() -> dict[str, dict[str, Any]]:
    """The pod of each workload by its name."""
    found = {
        each["metadata"]["name"]: each["spec"]["template"] for each in kubernetes("Deployment") + kubernetes("Job")
    }
    return found | {
        each["metadata"]["name"]: each["spec"]["jobTemplate"]["spec"]["template"] for each in kubernetes("CronJob")
    }


def commands() -> list[list[str]]:
    """Every command that a template names, as the words behind `stripe-elt`."""
    services = documents("compose.yml")[0]["services"]
    image = re.search(r"^CMD (\[.*\])$", (DEPLOY / "Containerfile").read_text(), re.MULTILINE)
    assert image is not None
    (job,) = documents("github-actions.yml")[0]["jobs"].values()
    runs = [step["run"] for step in job["steps"] if step.get("run", "").startswith("stripe-elt ")]
    units = [re.search(r"^ExecStart=\S+/stripe-elt (.+)$", unit.read_text(), re.MULTILINE) for unit in UNITS]
    return [
        json.loads(image[1]),
        *(service["command"] for service in services.values() if "command" in service),
        *(pod["spec"]["containers"][0]["args"] for pod in pods().values()),
        *(shlex.split(run)[1:] for run in runs),
        *(shlex.split(found[1]) for found in units if found),
    ]


def test_every_command_of_a_template_is_understood() -> None:
    found = commands()
    assert len(found) == 1 + 3 + 4 + 1 + len(UNITS)
    assert [words for words in found if not understood(words)] == []


def test_compose_names_a_secret_that_is_missing_and_knows_our_settings() -> None:
    (compose,) = documents("compose.yml")
    text = (DEPLOY / "compose.yml").read_text("utf-8")
    for name in ("POSTGRES_PASSWORD", "STRIPE_SECRET_KEY", "STRIPE_WEBHOOK_SECRET"):
        assert set(re.findall(rf"\$\{{{name}([^}}]*)\}}", text)) == {f":?set {name} in .env"}
    for service in ("full", "sink", "sync"):
        one = compose["services"][service]
        assert one["read_only"]
        assert one["cap_drop"] == ["ALL"]
        known = {environment_name("destination", SECTION), "DATABASE_URL", "STRIPE_SINK_PASSWORD"}
        assert set(one["environment"]) <= known | SECRETS
        assert set(one["depends_on"]) <= set(compose["services"])
    assert compose["services"]["sync"]["depends_on"]["full"]["condition"] == "service_completed_successfully"


def test_pods_of_kubernetes_have_no_rights_and_what_they_refer_to() -> None:
    (config,), (sink,), (service,) = kubernetes("ConfigMap"), kubernetes("Deployment"), kubernetes("Service")
    assert set(config["data"]) <= {environment_name(name, SECTION) for name in Settings.__dataclass_fields__}
    labels = sink["spec"]["template"]["metadata"]["labels"]
    assert sink["spec"]["selector"]["matchLabels"] == service["spec"]["selector"] == labels
    for name, pod in pods().items():
        (container,) = pod["spec"]["containers"]
        assert pod["spec"]["securityContext"]["runAsNonRoot"], name
        assert container["securityContext"]["readOnlyRootFilesystem"], name
        assert not container["securityContext"]["allowPrivilegeEscalation"], name
        assert [mount["mountPath"] for mount in container["volumeMounts"]] == ["/tmp"], name
        assert container["envFrom"] == [{"configMapRef": {"name": "stripe-elt"}}, {"secretRef": {"name": "stripe-elt"}}]
    (container,) = pods()["stripe-sink"]["spec"]["containers"]
    (port,) = container["ports"]
    assert (port["containerPort"], service["spec"]["ports"][0]["targetPort"]) == (8080, port["name"])
    probes = {name: container[name]["httpGet"]["path"] for name in ("livenessProbe", "readinessProbe")}
    assert probes == {"livenessProbe": "/health", "readinessProbe": "/ready"}
    assert {each["spec"]["concurrencyPolicy"] for each in kubernetes("CronJob")} == {"Forbid"}


def test_image_runs_as_nobody_in_particular_and_has_all_packages() -> None:
    text = (DEPLOY / "Containerfile").read_text("utf-8")
    assert text.count("\nFROM ") == 2
    assert set(re.findall(r"^COPY (\w+) \1$", text, re.MULTILINE)) == {
        "sources", "pipelines", "webhook_sink", "stripe_elt", "simulator",
    }  # fmt: skip
    assert re.search(r"^USER 10001$", text, re.MULTILINE)
    assert 'ENTRYPOINT ["stripe-elt"]' in text


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed")
def test_systemd_takes_the_units(tmp_path: Path) -> None:
    for file in (DEPLOY / "systemd").iterdir():
        text = re.sub(r"^(ExecStart=)\S+", rf"\g<1>{sys.executable}", file.read_text("utf-8"), flags=re.MULTILINE)
        (tmp_path / file.name).write_text(text)
    names = sorted(str(file) for file in tmp_path.iterdir())
    done = subprocess.run(["systemd-analyze", "verify", *names], capture_output=True, text=True, check=False)
    ours = [line for line in done.stderr.splitlines() if "stripe-" in line]
    assert ours == []


def test_every_timer_has_its_service() -> None:
    timers = [timer.with_suffix(".service").name for timer in (DEPLOY / "systemd").glob("*.timer")]
    assert sorted(timers) == ["stripe-check.service", "stripe-sync.service"]
    assert set(timers) <= {unit.name for unit in UNITS}


def test_metrics_of_dashboard_and_alerts_exist() -> None:
    known = set(re.findall(r"^# TYPE (\w+) ", Metrics("stripe").text().decode(), re.MULTILINE)) | {*METRICS}
    known |= {f"{name}_bucket" for name in known}
    dashboard = json.loads((DEPLOY / "monitoring/grafana.json").read_text("utf-8"))
    rules = documents("monitoring/prometheus-rules.yml")[0]["groups"][0]["rules"]
    asked = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    asked += [rule["expr"] for rule in rules]
    named = {name for expression in asked for name in re.findall(r"\bstripe_\w+", expression)}
    assert named - known == set()
    assert len(named) > 10
    assert all({"summary", "description"} <= rule["annotations"].keys() for rule in rules)


def test_textfile_has_what_batch_runs_have_done(
    mirror: Mirror, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mirror.begin("customers", "events", synced=True)
    for name, value in mirror.environment.items():
        monkeypatch.setenv(name, value)
    file = tmp_path / "stripe_elt.prom"
    assert status.main(["--quiet", "--textfile", str(file)]) == 0
    text = file.read_text()
    assert set(re.findall(r"^# TYPE (\w+) gauge$", text, re.MULTILINE)) == {*METRICS}
    assert f'stripe_elt_resources{{account="{mirror.sim.account.id}",status="complete"}} 2\n' in text
    spent = mirror.destination.value("select requests from stripe.sync_runs where command = 'stripe_full'")
    assert f'stripe_elt_run_requests{{command="stripe_full"}} {spent}\n' in text
    assert 'stripe_elt_run_complete{command="stripe_sync"} 1\n' in text
    assert status.main(["--textfile", str(tmp_path / "no" / "x.prom")]) == 2
