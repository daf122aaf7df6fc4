#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""shmstagectl doctor on machines that are made of files: one that is set up well, and for each check one or more that are not.

Usage: test_doctor.py PRINT-CHECKS [unittest's own arguments]
"""

import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import textwrap
import unittest

BUILD = pathlib.Path(os.environ["SHMSTAGED"]).resolve().parent.parent
CTL = os.environ.get("SHMSTAGECTL", str(BUILD / "daemon/shmstagectl"))
GENERATOR = str(BUILD / "units/shmstaged-generator")
CHECKS = os.path.abspath(sys.argv[1])
NOBODY, OLLAMA, LOGIN = 65534, 998, 1000
GIB = 1 << 30

CONFIG = """
[Daemon]
ReserveMemory=4G
[Mirror models]
Source=/data/models
Target=/dev/shm/models
Size=8G
Engines=ollama.service llama-server.service vllm.service
"""
SHM = "30 20 0:25 / /dev/shm rw,nosuid,nodev - tmpfs tmpfs rw,size=8388608k\n"
MODELS = "31 30 0:26 / /dev/shm/models rw,nosuid,nodev,noexec - tmpfs tmpfs rw,size=8388608k,huge=within_size,noswap\n"
DISK = "20 1 8:1 / / rw - ext4 /dev/sda1 rw\n" "21 20 8:17 / /data rw - ext4 /dev/sdb1 rw\n"
OLLAMA_UNIT = """
[Unit]
After=network-online.target
[Service]
ExecStart=/usr/local/bin/ollama serve
User=ollama
Group=ollama
Restart=always
Environment="PATH=/usr/local/bin:/usr/bin" "OLLAMA_MODELS=/dev/shm/models"
"""
LLAMA_UNIT = """
[Service]
ExecStart=/usr/bin/llama-server --port 8080 \\
        --load-mode mmap+mlock --model "/dev/shm/models/a.gguf"
LimitMEMLOCK=infinity
"""
VLLM_UNIT = """
[Service]
Environment=HF_HOME=/var/lib/vllm HF_HUB_CACHE=/dev/shm/models
ExecStart=/opt/vllm/bin/python3 -m vllm.entrypoints.openai.api_server --model org/name
"""
STATUS = "Package: bash\nVersion: 5.2\n\nPackage: ollama\nStatus: install ok installed\nVersion: %s\n\nPackage: zsh\nVersion: 5.9\n"
GOOD = {
    "etc/shmstaged.conf": CONFIG,
    "etc/passwd": "root:x:0:0::/root:/bin/sh\nollama:x:998:998::/usr/share/ollama:/bin/false\nalice:x:1000:1000::/home/alice:/bin/sh\n",
    "etc/systemd/system/ollama.service": OLLAMA_UNIT,
    "etc/systemd/system/llama-server.service": LLAMA_UNIT,
    "etc/systemd/system/vllm.service": VLLM_UNIT,
    "usr/lib/systemd/system/shmstaged.service": "[Service]\nExecStart=/usr/sbin/shmstaged\nTimeoutStopSec=2min\n",
    "usr/lib/systemd/systemd-logind": "",
    "usr/lib/systemd/logind.conf": "[Login]\n#RemoveIPC=yes\n",
    "proc/meminfo": "MemTotal: 33554432 kB\nMemAvailable: 30000000 kB\nSwapTotal: 0 kB\n",
    "proc/cmdline": "quiet\n",
    "proc/self/mountinfo": DISK + SHM + MODELS,
    "proc/sys/kernel/osrelease": "6.12.9-amd64\n",
    "proc/sys/fs/inotify/max_user_watches": "524288\n",
    "proc/sys/fs/inotify/max_user_instances": "128\n",
    "proc/sys/fs/inotify/max_queued_events": "16384\n",
    "sys/kernel/mm/transparent_hugepage/shmem_enabled": "always within_size advise [never] deny force\n",
    "run/shmstaged-doctor-room": "/ 100000000000 50000000000\n/data 1000000000000 500000000000\n/dev/shm/models 8589934592 8000000000\n",
    "data/models/a.gguf": b"x" * (3 << 20),
    "data/models/sub/b.gguf": b"y" * 70000,
    "dev/shm/models/a.gguf": b"x",
    "dev/nvidia0": "",
    "var/lib/dpkg/status": STATUS % "0.32.1",
}
ENGINES = ["ollama.service", "llama-server.service", "vllm.service"]


def process(pid, command, unit, environment="", limits="Max locked memory         8388608              8388608              bytes\n"):
    """The files of a process below /proc."""
    return {"proc/%d/%s" % (pid, name): content for name, content in {
        "comm": pathlib.Path(command[0]).name[:15] + "\n", "cmdline": "".join(word + "\0" for word in command), "environ": environment,
        "cgroup": "0::/system.slice/%s\n" % unit if unit else "0::/user.slice/user-1000.slice/session-1.scope\n", "limits": limits}.items()}


def unit(name, text, old=None):
    """A drop-in, or the unit with one thing replaced."""
    if old is None:
        return {"etc/systemd/system/%s.d/z.conf" % name: text}
    whole = GOOD["etc/systemd/system/" + name]
    assert old in whole, old
    return {"etc/systemd/system/" + name: whole.replace(old, text)}


def config(old, new):
    assert old in CONFIG, old
    return {"etc/shmstaged.conf": CONFIG.replace(old, new)}


def mounts(old, new):
    assert old in GOOD["proc/self/mountinfo"], old
    return {"proc/self/mountinfo": GOOD["proc/self/mountinfo"].replace(old, new)}


NFS = mounts("21 20 8:17 / /data rw - ext4 /dev/sdb1 rw", "21 20 0:50 / /data rw - nfs4 nas:/models rw,vers=4.2")
NO_ENGINES = config("Engines=ollama.service llama-server.service vllm.service\n", "")
OLLAMA_NO_GPU = {"dev/nvidia0": None}

# check, subject, verdict, what is different from the good machine, in the reason, in the fix (None: there is none)
CASES = [
    ("config", None, "problem", config("Size=8G", "Size=8Q"), "shmstaged.conf:7", "--check-config"),
    ("kernel", None, "problem", {"proc/sys/kernel/osrelease": "5.4.0\n"}, "5.4.0 is too old", "boot"),
    ("kernel", None, "note", {"proc/sys/kernel/osrelease": "6.1.0-13-amd64\n"}, "neither noswap", None),
    ("kernel", None, "note", {"proc/sys/kernel/osrelease": None}, "unknown", None),
    ("memory", None, "problem", {"proc/meminfo": "MemTotal: 4196352 kB\nMemAvailable: 4000000 kB\nSwapTotal: 0 kB\n"}, "select 3M", "Models="),
    ("memory", None, "warning", config("Size=8G", "Size=40G"), "may grow to 40G in total, more than the 32G", "at most 28G"),
    ("memory", None, "note", {"data/models": None}, "unknown", None),
    ("huge-pages", None, "problem", {"sys/kernel/mm/transparent_hugepage/shmem_enabled": "always within_size advise never [deny] force\n"}, '"deny"', "shmem_enabled"),
    ("huge-pages", None, "warning", {"sys/kernel/mm/transparent_hugepage/shmem_enabled": "always within_size advise never deny [force]\n"}, '"force"', "shmem_enabled"),
    ("huge-pages", None, "warning", {"sys/kernel/mm/transparent_hugepage/shmem_enabled": None}, "no huge pages", "CONFIG_TRANSPARENT_HUGEPAGE"),
    ("swap", None, "warning", {**mounts(",noswap", ""), "proc/meminfo": GOOD["proc/meminfo"].replace("SwapTotal: 0", "SwapTotal: 2097152")},
     "2G of swap and /dev/shm/models is mounted without noswap", "recreate the mount"),
    ("swap", None, "warning", {**mounts(",noswap", ""), "proc/meminfo": GOOD["proc/meminfo"].replace("SwapTotal: 0", "SwapTotal: 2097152"),
                               "proc/sys/kernel/osrelease": "6.1.0\n"}, "Linux 6.1.0 has no noswap", "swapoff"),
    ("swap", None, "ok", {"proc/meminfo": GOOD["proc/meminfo"].replace("SwapTotal: 0", "SwapTotal: 2097152")}, "no mirror can be swapped out unless its configuration allows it", None),
    ("inotify", None, "warning", {"proc/sys/fs/inotify/max_user_watches": "3\n"}, "4 directories", "max_user_watches=8"),
    ("inotify", None, "warning", {"proc/sys/fs/inotify/max_user_instances": "2\n"}, "2 inotify instances", "max_user_instances"),
    ("inotify", None, "warning", {"proc/sys/fs/inotify/max_queued_events": "256\n"}, "256 events", "max_queued_events"),
    ("service", None, "warning", {"etc/systemd/system/multi-user.target.wants/shmstaged.service": None}, "not enabled", "systemctl enable"),
    ("service", None, "problem", {"etc/systemd/system/shmstaged.service": ""}, "masked", "unmask"),
    ("service", None, "note", {"usr/lib/systemd/system/shmstaged.service": None}, "not installed", None),
    ("daemon-reload", None, "warning", {"touch": "etc/shmstaged.conf"}, "newer", "daemon-reload"),
    ("daemon-reload", None, "problem", {"run/systemd/generator": None}, "no units", "daemon-reload"),
    ("memory-limit", None, "problem", {"etc/systemd/system/shmstaged.service.d/a.conf": "[Service]\nMemoryMax=2M\n"}, "MemoryMax=2M of shmstaged.service", "a.conf"),
    ("memory-limit", None, "problem", {"etc/systemd/system/shmstaged.service.d/a.conf": "[Service]\nSlice=models.slice\n",
                                       "etc/systemd/system/models.slice": "[Slice]\nMemoryHigh=1M\n"}, "MemoryHigh=1M of models.slice", "models.slice"),
    ("memory-limit", None, "problem", {"etc/systemd/system/system.slice.d/a.conf": "[Slice]\nMemoryMax=0%\n"}, "system.slice", "a.conf"),
    ("memory-limit", None, "ok", {"etc/systemd/system/shmstaged.service.d/a.conf": "[Service]\nMemoryMax=50%\nMemoryHigh=infinity\n"}, "No limit", None),
    ("stop-timeout", None, "warning", {"etc/systemd/system/shmstaged.service.d/a.conf": "[Service]\nTimeoutStopSec=5\n"}, "5.0s", "TimeoutStopSec= from /etc/systemd"),
    ("stop-timeout", None, "warning", {"etc/systemd/system/shmstaged.service.d/a.conf": "[Service]\nTimeoutSec=10s\n"}, "10s", "TimeoutSec= from /etc/systemd"),
    ("source", "models", "problem", {"data/models": None}, "missing", "mount the disk"),
    ("source", "models", "warning", {"data/models/a.gguf": None, "data/models/sub": None}, "nothing to stage", "findmnt"),
    ("source", "models", "problem", {"mode": ("data/models", 0o700)}, "cannot be read", "ls -la"),
    ("source", "models", "warning", {"mode": ("data/models/sub", 0o700)}, "Parts of the source", "plan"),
    ("source", "models", "note", NFS, "nfs4; changes are noticed within", None),
    ("source", "models", "warning", {**NFS, **config("Size=8G", "Size=8G\nPollInterval=0")}, "PollInterval=0", "PollInterval=5min"),
    ("source", "models", "warning", mounts("21 20 8:17 / /data rw - ext4 /dev/sdb1 rw", "21 20 0:50 / /data rw - tmpfs tmpfs rw"), "itself in RAM", "Source="),
    ("read-ahead", "models", "warning", {**NFS, "sys/class/bdi/0:50/read_ahead_kb": "128\n"}, "128 KiB ahead on /data", "echo 4096 >/sys/class/bdi/0:50/read_ahead_kb"),
    ("read-ahead", "models", "ok", {**NFS, "sys/class/bdi/0:50/read_ahead_kb": "16384\n"}, "16384 KiB", None),
    ("tmpfs-size", "models", "problem", {"run/shmstaged-doctor-room": "/ 100 100\n/dev/shm/models 2097152 100\n"}, "selects 3M, but /dev/shm/models has room for only 2M",
     "systemctl reload dev-shm-models.mount"),
    ("tmpfs-size", "models", "problem", {**config("Size=8G", "Size=1M"), **mounts(MODELS, "")}, "has room for only 1M", "Size="),
    ("tmpfs-size", "models", "warning", {**config("Size=8G", "Size=1M\nOnNoRoom=link"), **mounts(MODELS, "")}, "has room for only 1M", "Size="),
    ("tmpfs-size", "models", "warning", {"run/shmstaged-doctor-room": "/ 100 100\n/dev/shm/models 8589934592 100000000\n"}, "Only 95.3M of 8G are free", "release"),
    ("mount-options", "models", "warning", mounts(",huge=within_size", ""), "huge=never, not with huge=within_size", "remount,huge=within_size /dev/shm/models"),
    ("mount-options", "models", "note", config("Size=8G", "Size=8G\nHugePages=never"), "not with huge=never", "remount,huge=never"),
    ("mount-options", "models", "problem", mounts("/dev/shm/models rw,", "/dev/shm/models ro,"), "read-only", "remount,rw"),
    ("shm", "models", "warning", mounts(MODELS, ""), "directory in the tmpfs /dev/shm", "dev-shm-models.mount"),
    ("shm", "models", "problem", mounts("noexec - tmpfs tmpfs", "noexec - ext4 /dev/sdc"), "is ext4, not tmpfs", "umount"),
    ("remove-ipc", "models", "problem", {"owner": ("dev/shm/models", LOGIN)}, "login user alice", "RemoveIPC=no"),
    ("remove-ipc", "models", "warning", {"owner": ("dev/shm/models/a.gguf", LOGIN)}, "1 file of the mirror belongs to login user alice (a.gguf)", "Target=/run"),
    ("remove-ipc", "models", "ok", {"owner": ("dev/shm/models", LOGIN), "etc/systemd/logind.conf.d/a.conf": "[Login]\nRemoveIPC=no\n"}, "leaves /dev/shm alone", None),
    ("disk-room", "models", "problem", mounts("/data rw - ext4", "/data ro - ext4"), "read-only", "remount,rw /data"),
    ("disk-room", "models", "warning", {"run/shmstaged-doctor-room": "/ 100 100\n/data 100000000 2000000\n/dev/shm/models 8589934592 8000000000\n"},
     "The disk of the source has 1.9M free, less than its largest file (3M, a.gguf)", "free at least 3M"),
    ("token", "models", "warning", {"data/models/token": "hf_x", "data/models/hub/models--a--b/refs/main": "0" * 40}, "HF_HOME", "Source=/data/models/hub"),
    ("unit", "ollama.service", "problem", {"etc/systemd/system/ollama.service": None}, "does not exist", "Engines="),
    ("unit", "ollama.service", "warning", {"etc/systemd/system/ollama.service": ""}, "masked", "unmask"),
    ("unit", "ollama.service", "warning", unit("ollama.service", "Environment=OLLAMA_MODELS=/x\n"), "z.conf:1: this line is before the first [Section]", "[Section]"),
    ("unit", "ollama.service", "note", {"etc/systemd/system/ollama.service.d/z.conf": "[Service]\n", "mode": ("etc/systemd/system/ollama.service.d/z.conf", 0o600)},
     "cannot be read", None),
    ("order", "ollama.service", "problem", {"run/systemd/generator/ollama.service.d/50-shmstaged.conf": None}, "Requires= and After= missing", "daemon-reload"),
    ("order", "ollama.service", "problem", NO_ENGINES, "does not wait", "Engines=ollama.service in [Mirror models]"),
    ("order", "ollama.service", "problem", {**NO_ENGINES, **unit("ollama.service", "[Unit]\nRequires=shmstaged.service\n")}, "(After= missing)", "Engines="),
    ("order", "ollama.service", "warning", {**NO_ENGINES, **unit("ollama.service", "[Unit]\nWants=shmstaged.service\nAfter=shmstaged.service\n")}, "Wants=", "Requires="),
    ("order", "ollama.service", "ok", {**NO_ENGINES, **unit("ollama.service", "[Unit]\nBindsTo=shmstaged.service\nAfter=a.service \\\n  shmstaged.service\n")}, "starts after", None),
    ("place", "ollama.service", "problem", unit("ollama.service", "OLLAMA_MODELS=/data/models", "OLLAMA_MODELS=/dev/shm/models"), "OLLAMA_MODELS=/data/models",
     "Environment=OLLAMA_MODELS=/dev/shm/models"),
    ("place", "ollama.service", "problem", {**unit("ollama.service", "", ' "OLLAMA_MODELS=/dev/shm/models"'), **config("/data/models", "/usr/share/ollama/.ollama/models"),
                                            "usr/share/ollama/.ollama/models/a.gguf": "x"}, "is not set, so it uses /usr/share/ollama/.ollama/models", "OLLAMA_MODELS=/dev/shm/models"),
    ("place", "ollama.service", "problem", {**unit("ollama.service", "[Service]\nEnvironmentFile=-/etc/default/ollama\n"),
                                            "etc/default/ollama": "# where\nOLLAMA_MODELS='/data/models'\n"}, "OLLAMA_MODELS=/data/models", "/dev/shm/models"),
    ("place", "ollama.service", "problem", process(100, ["/usr/local/bin/ollama", "serve"], "ollama.service", "OLLAMA_MODELS=/data/models\0"),
     "(process 100): OLLAMA_MODELS=/data/models", "OLLAMA_MODELS=/dev/shm/models"),
    ("place", "ollama.service", "warning", unit("ollama.service", "OLLAMA_MODELS=/srv/others", "OLLAMA_MODELS=/dev/shm/models"), "Neither its command line", "OLLAMA_MODELS=/dev/shm/models"),
    ("place", "ollama.service", "note", {**NO_ENGINES, **unit("ollama.service", "OLLAMA_MODELS=/srv/others", "OLLAMA_MODELS=/dev/shm/models")}, "no mirror lists it", "Engines=ollama.service"),
    # drop-ins: an empty value sets back, the last file by name counts wherever it is, and one in /etc masks its like elsewhere
    ("place", "ollama.service", "warning", unit("ollama.service", "[Service]\nEnvironment=\n"), "Neither its command line", "OLLAMA_MODELS=/dev/shm/models"),
    ("place", "ollama.service", "problem", {"usr/lib/systemd/system/ollama.service.d/a.conf": "[Service]\nEnvironment=OLLAMA_MODELS=/dev/shm/models\n",
                                            "etc/systemd/system/ollama.service.d/z.conf": "[Service]\nEnvironment=OLLAMA_MODELS=/data/models\n"}, "OLLAMA_MODELS=/data/models", "edit"),
    ("place", "ollama.service", "ok", {"etc/systemd/system/ollama.service.d/z.conf": "",
                                       "usr/lib/systemd/system/ollama.service.d/z.conf": "[Service]\nEnvironment=OLLAMA_MODELS=/data/models\n"}, "reads the mirror", None),
    ("place", "ollama.service", "problem", {"usr/lib/systemd/system/service.d/z.conf": "[Service]\nEnvironment=OLLAMA_MODELS=/data/models\n"}, "OLLAMA_MODELS=/data/models", "edit"),
    ("place", "llama-server@b.service", "problem", {"etc/systemd/system/llama-server@.service": "[Service]\nExecStart=/usr/bin/llama-server --model /dev/shm/models/a.gguf\n",
                                                    "etc/systemd/system/llama-server@b.service.d/z.conf": "[Service]\nExecStart=\nExecStart=/usr/bin/llama-server --model /data/models/a.gguf\n",
                                                    **config("vllm.service\n", "vllm.service llama-server@b.service\n")}, "--model /data/models/a.gguf", "systemctl edit llama-server@b.service"),
    ("place", "llama-server.service", "problem", unit("llama-server.service", "/data/models/a.gguf", "/dev/shm/models/a.gguf"), "--model /data/models/a.gguf", "--model /dev/shm/models/a.gguf"),
    ("place", "llama-server.service", "problem", unit("llama-server.service", "[Service]\nExecStart=\nExecStart=/bin/sh -c 'exec llama-server --models-dir=/data/models/sub'\n"),
     "--models-dir /data/models/sub", "--models-dir /dev/shm/models/sub"),
    ("place", "llama-server.service", "problem", unit("llama-server.service", "[Service]\nEnvironment=MODEL=/data/models/a.gguf\nExecStart=\nExecStart=-/usr/bin/llama-server -m ${MODEL}\n"),
     "-m /data/models/a.gguf", "-m /dev/shm/models/a.gguf"),
    ("place", "llama-server.service", "problem", {"link": ("srv/link", "/data/models"), **unit("llama-server.service", "/srv/link/a.gguf", "/dev/shm/models/a.gguf")},
     "--model /data/models/a.gguf", "/dev/shm/models/a.gguf"),
    ("place", "vllm.service", "problem", unit("vllm.service", "HF_HOME=/data", "HF_HOME=/var/lib/vllm HF_HUB_CACHE=/dev/shm/models") | config("/data/models", "/data/hub") |
     {"data/hub/models--a--b/refs/main": "x"}, "HF_HUB_CACHE=/data/hub", "HF_HUB_CACHE=/dev/shm/models"),
    ("place", "llama-swap.service", "problem", {"etc/systemd/system/llama-swap.service": "[Service]\nExecStart=/usr/bin/llama-swap --config /etc/swap.yaml\n",
                                                "etc/swap.yaml": "models:\n  a:\n    cmd: llama-server -m /data/models/a.gguf\n", **config("vllm.service\n", "vllm.service llama-swap.service\n")},
     "/etc/swap.yaml makes engines read the disk", "sed -i 's,/data/models/,/dev/shm/models/,g' /etc/swap.yaml"),
    ("place", "PID 77 (llama-server)", "problem", process(77, ["/home/alice/llama-server", "-m", "/data/models/a.gguf"], None), "(process 77)", "restart it with -m /dev/shm/models/a.gguf"),
    ("copies", "llama-server.service", "warning", unit("llama-server.service", "--no-mmap", "--load-mode mmap+mlock"), "--no-mmap", "remove --no-mmap"),
    ("copies", "llama-server.service", "warning", unit("llama-server.service", "--load-mode=none", "--load-mode mmap+mlock"), "--load-mode=none", "remove --load-mode=none"),
    ("copies", "llama-server.service", "warning", unit("llama-server.service", "[Service]\nEnvironment=LLAMA_ARG_LOAD_MODE=dio\n"), "LLAMA_ARG_LOAD_MODE=dio", "remove LLAMA_ARG_LOAD_MODE=dio"),
    ("copies", "ollama.service", "warning", OLLAMA_NO_GPU, "Without a GPU", "use_mmap"),
    ("copies", "ollama.service", "note", {}, "while enough memory is free", None),
    ("copies", "ollama.service", "ok", process(101, ["/usr/local/lib/ollama/llama-server", "--model", "/dev/shm/models/a.gguf"], "ollama.service"), "are mapped", None),
    ("copies", "ollama.service", "warning", process(101, ["/usr/local/lib/ollama/llama-server", "--model", "/dev/shm/models/a.gguf", "--load-mode", "none"], "ollama.service"),
     "--load-mode none", "use_mmap"),
    ("copies", "koboldcpp.service", "warning", {"etc/systemd/system/koboldcpp.service": "[Service]\nExecStart=/opt/koboldcpp --model /dev/shm/models/a.gguf\n"}, "no --usemmap", "--usemmap"),
    ("copies", "koboldcpp.service", "ok", {"etc/systemd/system/koboldcpp.service": "[Service]\nExecStart=/opt/koboldcpp --usemmap --model /dev/shm/models/a.gguf\n"}, "No setting makes", None),
    ("memlock", "llama-server.service", "warning", unit("llama-server.service", "LimitMEMLOCK=1M", "LimitMEMLOCK=infinity"), "locks models of up to 3M in RAM, but its limit for locked memory is 1M", "LimitMEMLOCK=infinity"),
    ("memlock", "PID 77 (llama-server)", "warning", process(77, ["llama-server", "--mlock", "-m", "/dev/shm/models/a.gguf"], None,
                                                             limits="Max locked memory         65536                65536                bytes\n"), "its limit for locked memory is 64K", "ulimit -l unlimited"),
    ("sight", "ollama.service", "problem", {**NO_ENGINES, **unit("ollama.service", "[Service]\nPrivateDevices=yes\n")}, "PrivateDevices=", "BindPaths=/dev/shm/models"),
    ("sight", "ollama.service", "problem", {"late": unit("ollama.service", "[Service]\nTemporaryFileSystem=/dev/shm:size=1M\n")}, "TemporaryFileSystem=", "daemon-reload"),
    ("sight", "ollama.service", "problem", {**NO_ENGINES, **unit("ollama.service", "[Service]\nRootDirectory=/srv/root\n")}, "RootDirectory=", "BindPaths="),
    ("sight", "ollama.service", "problem", {**NO_ENGINES, **unit("ollama.service", "[Service]\nInaccessiblePaths=-/dev/shm\n")}, "InaccessiblePaths=", "BindPaths="),
    ("sight", "ollama.service", "problem", config("/dev/shm/models", "/tmp/models") | unit("ollama.service", "[Service]\nPrivateTmp=yes\nEnvironment=OLLAMA_MODELS=/tmp/models\n"), "PrivateTmp=", "BindPaths=/tmp/models"),
    ("sight", "ollama.service", "ok", unit("ollama.service", "[Service]\nPrivateDevices=yes\n"), "allows access to", None),  # the generator binds it
    ("sight", "ollama.service", "ok", {**NO_ENGINES, **unit("ollama.service", "[Service]\nPrivateDevices=yes\nBindReadOnlyPaths=-/dev/shm/models:/dev/shm/models\n")}, "allows access to", None),
    ("sight", "ollama.service", "ok", {**NO_ENGINES, **unit("ollama.service", "[Service]\nPrivateDevices=yes\nBindReadOnlyPaths=/srv/x:/dev/shm/models:rbind\n")}, "allows access to", None),
    ("sight", "ollama.service", "problem", {**NO_ENGINES, **unit("ollama.service", "[Service]\nPrivateDevices=yes\nBindReadOnlyPaths=/dev/shm/models:/models\n")},
     "PrivateDevices=", "BindPaths="),
    ("dynamic-user", "ollama.service", "warning", unit("ollama.service", "[Service]\nDynamicUser=yes\n"), "removes its files from /dev/shm", "User="),
    ("dynamic-user", "ollama.service", "problem", unit("ollama.service", "[Service]\nRemoveIPC=yes\n"), "files of ollama", "RemoveIPC=no"),
    ("owner", "ollama.service", "warning", {"owner": ("data/models", LOGIN)}, "belong to alice", "chown -R ollama: /data/models"),
    ("owner", "ollama.service", "ok", {"owner": ("data/models", LOGIN), **config("Size=8G", "Size=8G\nWriteBack=no")}, "has the access", None),
    ("owner", "ollama.service", "problem", {"owner": ("dev/shm/models", LOGIN), "mode": ("dev/shm/models", 0o744)}, "only alice may read", "chmod o+rx"),
    ("hf-home", "vllm.service", "warning", unit("vllm.service", "HF_HOME=/dev/shm/models/home", "HF_HOME=/var/lib/vllm"), "login token", "HF_HUB_CACHE=/dev/shm/models"),
    ("version", "ollama.service", "warning", {"var/lib/dpkg/status": STATUS % "0.20.7-1"}, "0.20.7-1 deletes", "upgrade"),
    ("version", "ollama.service", "warning", {"var/lib/dpkg/status": STATUS % "1:0.29.2"}, "copies models", "upgrade"),
    ("version", "ollama.service", "note", {"var/lib/dpkg/status": None}, "unknown", "ollama --version"),
    ("version", "ollama.service", "ok", {"var/lib/dpkg/status": None, "usr/local/bin/ollama": "", "usr/local/lib/ollama/llama-server": ""}, "0.30 or newer", None),
    ("version", "ollama.service", "ok", {"var/lib/dpkg/status": None, **process(101, ["/x/llama-server", "--model", "/dev/shm/models/a.gguf"], "ollama.service")}, "0.30 or newer", None),
    ("version", "ollama.service", "warning", {"var/lib/dpkg/status": None, "usr/local/bin/ollama": ""}, "older than 0.30", "upgrade"),
    ("version", "ollama.service", "warning", unit("ollama.service", "[Service]\nEnvironment=OLLAMA_EXPERIMENT=client2\n"), "client2", "UnsetEnvironment"),
]


class Machine:
    """The files of a machine below a directory."""

    def __init__(self, directory):
        self.root = pathlib.Path(directory)
        self.root.chmod(0o755)

    def put(self, path, content):
        path = self.root / path
        if content is None:
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())

    def make(self, changes):
        changes = dict(changes)
        special = {name: changes.pop(name, None) for name in ("touch", "mode", "owner", "link", "late")}
        after = {path: content for path, content in changes.items() if path.startswith("run/systemd/generator")}
        for path, content in {**GOOD, **{p: c for p, c in changes.items() if c is not None}}.items():
            self.put(path, content)
        self.own("data/models", OLLAMA)
        self.own("dev/shm/models", OLLAMA)
        wants = self.root / "etc/systemd/system/multi-user.target.wants"
        wants.mkdir()
        (wants / "shmstaged.service").symlink_to("/usr/lib/systemd/system/shmstaged.service")
        for path, content in changes.items():
            if content is None and path not in after:
                self.put(path, None)
        out = self.root / "run/systemd/generator"
        out.mkdir(parents=True)
        subprocess.run([GENERATOR, out, out, out], env={**os.environ, "SHMSTAGED_GENERATOR_ROOT": str(self.root)}, capture_output=True, timeout=60, check=False)
        for path, content in {**after, **(special["late"] or {})}.items():
            self.put(path, content)
        self.do_special(special)

    def do_special(self, special):
        if special["touch"]:
            os.utime(self.root / special["touch"], (4e9, 4e9))
        if special["owner"]:
            self.own(*special["owner"])
        if special["mode"]:
            path, mode = special["mode"]
            (self.root / path).chmod(mode)
        if special["link"]:
            path, to = special["link"]
            (self.root / path).parent.mkdir(parents=True, exist_ok=True)
            (self.root / path).symlink_to(to)

    def own(self, path, uid):
        path = self.root / path
        for each in [path, *path.rglob("*")]:
            os.chown(each, uid, uid)

    def doctor(self, *arguments):
        return subprocess.run([CTL, "doctor", "--root=" + str(self.root), *arguments], user=NOBODY, group=NOBODY, extra_groups=[], capture_output=True, text=True,
                              timeout=60, check=False)

    def findings(self):
        done = self.doctor("--json")
        if done.stderr or done.returncode not in (0, 1):
            raise AssertionError("%d: %s" % (done.returncode, done.stderr))
        return json.loads(done.stdout), done.returncode


class Case(unittest.TestCase):
    maxDiff = None

    def machine(self, changes):
        machine = Machine(tempfile.mkdtemp(prefix="test-doctor-"))
        self.addCleanup(shutil.rmtree, machine.root)
        machine.make(changes)
        return machine


class Good(Case):
    def test_nothing_is_wrong_with_a_machine_that_is_set_up_well(self):
        machine = self.machine({})
        findings, status = machine.findings()
        self.assertEqual([(f["check"], f["subject"], f["reason"]) for f in findings if f["verdict"] in ("warning", "problem")], [])
        self.assertEqual(status, 0)
        self.assertEqual(machine.doctor().returncode, 0)
        self.assertEqual({f["subject"] for f in findings}, {None, "models", *ENGINES})

    def test_the_text_agrees_with_the_json(self):
        machine = self.machine({"proc/sys/fs/inotify/max_queued_events": "256\n"})
        done = machine.doctor()
        self.assertEqual(done.returncode, 1)
        for finding in machine.findings()[0]:
            self.assertIn(finding["reason"], done.stdout)
            if finding["fix"]:
                self.assertIn("Fix: " + finding["fix"], done.stdout)
        self.assertIn("0 problems, 1 warning, ", done.stdout)
        self.assertNotIn("\x1b", done.stdout)

    def test_an_empty_tree_is_reported_as_no_machine(self):
        machine = Machine(tempfile.mkdtemp(prefix="test-doctor-"))
        self.addCleanup(shutil.rmtree, machine.root)
        self.assertEqual({f["check"]: f["verdict"] for f in machine.findings()[0]}["source"], "problem")

    def test_a_root_that_is_not_there_is_an_error(self):
        done = subprocess.run([CTL, "doctor", "--root=/nonexistent"], capture_output=True, text=True, check=False)
        self.assertEqual((done.returncode, done.stdout), (1, ""))
        self.assertIn("/nonexistent", done.stderr)

    def test_names_that_are_no_text_make_valid_json(self):
        machine = self.machine({b"data/models/\xff\x1b[2J".decode(errors="surrogateescape"): b"z" * (4 << 20),
                                "run/shmstaged-doctor-room": "/data 100000000 2000000\n"})
        found = [f for f in machine.findings()[0] if f["check"] == "disk-room"]
        self.assertIn("\\xff", found[0]["reason"])
        self.assertNotIn("\x1b", machine.doctor().stdout)

    def test_an_ordinary_user_can_check_this_machine(self):
        done = subprocess.run([CTL, "doctor"], user=NOBODY, group=NOBODY, extra_groups=[], capture_output=True, text=True, timeout=60, check=False)
        self.assertIn(done.returncode, (0, 1), done.stderr)
        self.assertIn("Only your own", done.stdout)
        self.assertEqual(done.stderr, "")


class Checks(Case):
    """One test for each row of CASES."""

    def check(self, name, subject, verdict, changes, reason, fix):
        findings = self.machine(changes).findings()[0]
        found = [f for f in findings if f["check"] == name and f["subject"] == subject]
        self.assertEqual([f["verdict"] for f in found], [verdict], textwrap.indent(json.dumps(findings, indent=1), "  "))
        self.assertIn(reason, found[0]["reason"])
        self.assertEqual(fix is None, found[0]["fix"] is None, found[0]["fix"])
        if fix:
            self.assertIn(fix, found[0]["fix"])

    def test_each_check_has_a_case_that_is_well_and_one_that_is_not(self):
        names = subprocess.run([CHECKS], capture_output=True, text=True, check=True).stdout.split()
        self.assertGreater(len(names), 20)
        page = (pathlib.Path(__file__).parents[2] / "docs/shmstagectl.1").read_text()
        section = re.search(r"^\.Sh CHECKS\n(.*?)^\.Sh ", page, re.M | re.S).group(1)
        self.assertEqual(re.findall(r"^\.It Cm ([\w-]+)$", section, re.M), names)
        good = {f["check"] for f in self.machine({}).findings()[0] if f["verdict"] == "ok"} | {c[0] for c in CASES if c[2] == "ok"}
        bad = {c[0] for c in CASES if c[2] in ("warning", "problem")}
        self.assertEqual((sorted(good), sorted(bad)), (sorted(names), sorted(names)))


def add_tests():
    for number, case in enumerate(CASES):
        def test(self, case=case):
            self.check(*case)
        setattr(Checks, "test_%03d_%s_is_%s" % (number, case[0], case[2]), test)


add_tests()

if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0], *sys.argv[2:]])
