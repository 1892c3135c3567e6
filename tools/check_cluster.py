#!/usr/bin/env python3
"""Checks examples/cluster by form: the MPIJob against the part of Kubeflow's v2beta1 schema that it
may use, the options of the batch script, and the configuration's keys against those of the program.
Prints one line per offence, exits 1."""
import re
import sys
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parent.parent
CLUSTER = ROOT / "examples/cluster"

# A type, a list of allowed values, a dict of keys ("!" marks required ones), or a list with the form
# of its items.
CONTAINER = {"!name": str, "!image": str, "command": [str], "args": [str],
             "resources": {"requests": dict, "limits": dict},
             "volumeMounts": [{"!name": str, "!mountPath": str, "readOnly": bool}],
             "env": [{"!name": str, "value": str}]}
POD = {"!spec": {"!containers": [CONTAINER], "restartPolicy": ("Never", "OnFailure"),
                 "terminationGracePeriodSeconds": int,
                 "volumes": [{"!name": str, "persistentVolumeClaim": {"!claimName": str}}]}}
REPLICAS = {"!replicas": int, "restartPolicy": ("Never", "OnFailure", "ExitCode"), "!template": POD}
MPI_JOB = {
    "!apiVersion": ("kubeflow.org/v2beta1",),
    "!kind": ("MPIJob",),
    "!metadata": {"!name": str, "namespace": str},
    "!spec": {
        "slotsPerWorker": int,
        "mpiImplementation": ("OpenMPI", "Intel", "MPICH"),
        "launcherCreationPolicy": ("AtStartup", "WaitForWorkersReady"),
        "sshAuthMountPath": str,
        "runPolicy": {"cleanPodPolicy": ("None", "Running", "All"), "backoffLimit": int,
                      "ttlSecondsAfterFinished": int, "activeDeadlineSeconds": int,
                      "suspend": bool},
        "!mpiReplicaSpecs": {"!Launcher": REPLICAS, "!Worker": REPLICAS},
    },
}
SBATCH = {"job-name", "nodes", "ntasks-per-node", "cpus-per-task", "time", "requeue", "open-mode",
          "output", "signal", "partition", "gres", "mem"}


def offences(value, form, where):
    if isinstance(form, tuple):
        if value not in form:
            yield f"{where}: found {value!r}, needed one of {', '.join(form)}"
    elif isinstance(form, list):
        if not isinstance(value, list) or not value:
            yield f"{where}: found {value!r}, needed a list"
            return
        for i, item in enumerate(value):
            yield from offences(item, form[0], f"{where}[{i}]")
    elif isinstance(form, dict):
        if not isinstance(value, dict):
            yield f"{where}: found {value!r}, needed keys"
            return
        known = {key.lstrip("!"): form[key] for key in form}
        for key in value:
            if key not in known:
                yield f"{where}.{key}: not a key of it"
            else:
                yield from offences(value[key], known[key], f"{where}.{key}")
        for key in form:
            if key.startswith("!") and key[1:] not in value:
                yield f"{where}.{key[1:]}: missing"
    elif not isinstance(value, form) or (form is int and isinstance(value, bool)):
        yield f"{where}: found {value!r}, needed {form.__name__}"


def check_job():
    job = yaml.safe_load((CLUSTER / "mpijob.yaml").read_text())
    found = [*offences(job, MPI_JOB, "mpijob.yaml")]
    if found:  # what follows needs the form
        yield from found
        return
    spec = job["spec"]
    for role, replica in spec["mpiReplicaSpecs"].items():
        pod = replica["template"]["spec"]
        volumes = {volume["name"] for volume in pod.get("volumes", [])}
        for container in pod["containers"]:
            for mount in container.get("volumeMounts", []):
                if mount["name"] not in volumes:
                    yield f"mpijob.yaml: {role}: volume {mount['name']} is not one of the pod's"
    script = spec["mpiReplicaSpecs"]["Launcher"]["template"]["spec"]["containers"][0]["args"][0]
    ranks = int(re.search(r"mpirun -n (\d+)", script).group(1))
    slots = spec["slotsPerWorker"] * spec["mpiReplicaSpecs"]["Worker"]["replicas"]
    if ranks != slots:
        yield f"mpijob.yaml: mpirun starts {ranks} ranks on {slots} slots"


def check_batch_script():
    found = {}
    for line in (CLUSTER / "athanor.sbatch").read_text().splitlines():
        if line.startswith("#SBATCH"):
            match = re.fullmatch(r"#SBATCH --([a-z-]+)(?:=(\S+))?", line)
            if not match or match[1] not in SBATCH:
                yield f"athanor.sbatch: not an option: {line}"
            else:
                found[match[1]] = match[2]
        elif line and not line.startswith("#"):
            break
    if found.get("signal") != "B:USR1@300" or "requeue" not in found:
        yield "athanor.sbatch: needs --requeue and --signal=B:USR1@300"


def check_config():
    source = (ROOT / "runtime/config/config_keys.h").read_text()
    keys = set(re.findall(r'"([a-z0-9_]+(?:\.[a-z0-9_]+)?)"', source))
    for key, value in yaml.safe_load((CLUSTER / "config.yaml").read_text()).items():
        for name in [f"{key}.{part}" for part in value] if isinstance(value, dict) else [key]:
            if name not in keys:
                yield f"config.yaml: {name} is not a key of the program"


def main():
    found = [*check_job(), *check_batch_script(), *check_config()]
    for line in found:
        print(line)
    print(f"check_cluster: {len(found)} offences")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
