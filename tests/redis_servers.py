"""Real Redis servers for tests: on loopback and free ports, ended at the end.

Where the program is missing a test is skipped; in CI it fails.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from contextlib import suppress

import pytest
import redis


def need(program):
    if shutil.which(program) is None:
        if os.environ.get("CI"):
            pytest.fail(f"{program} is missing: .ci/run installs it")
        pytest.skip(f"{program} is not installed")


def free_port(with_bus=False):
    """Return a port that is free now; with a cluster's bus, 10,000 above it, too."""
    while True:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        if not with_bus:
            return port
        if port > 55_000:
            continue
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port + 10_000))
            return port


class Server:
    """One redis-server."""

    def __init__(self, folder, *options, port=None):
        need("redis-server")
        self.port = port or free_port()
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.options = options
        self.process = None
        self.start()

    def start(self):
        command = ["redis-server", *self._arguments()]
        with open(self.folder / "out", "ab") as out:
            self.process = subprocess.Popen(command, stdout=out, stderr=out, cwd=self.folder)
        until = time.monotonic() + 10
        while True:
            with suppress(redis.RedisError), redis.Redis(port=self.port) as client:
                client.ping()
                return
            if time.monotonic() > until:
                raise RuntimeError((self.folder / "out").read_text()[-2000:])
            time.sleep(0.02)

    def _arguments(self):
        common = f"--bind 127.0.0.1 --port {self.port} --dir {self.folder} --appendonly no"
        return [*common.split(), "--save", "", *self.options]

    @property
    def url(self):
        return f"redis://127.0.0.1:{self.port}/0"

    def client(self):
        return redis.Redis(port=self.port)

    def kill(self):
        self.process.kill()
        self.process.wait()

    def pause(self):
        self.process.send_signal(signal.SIGSTOP)

    def resume(self):
        self.process.send_signal(signal.SIGCONT)

    def stop(self):
        if self.process.poll() is None:
            self.resume()
            self.process.kill()
            self.process.wait()


class Cluster:
    """Three masters and three replicas."""

    def __init__(self, folder):
        need("redis-cli")
        ports = [free_port(with_bus=True) for _ in range(6)]
        options = (
            "--cluster-enabled yes --cluster-node-timeout 1000 --cluster-require-full-coverage no"
        ).split()
        self.servers = [Server(folder / str(port), *options, port=port) for port in ports]
        hosts = [f"127.0.0.1:{port}" for port in ports]
        create = ["redis-cli", "--cluster", "create", *hosts]
        subprocess.run(
            [*create, "--cluster-replicas", "1", "--cluster-yes"], check=True, capture_output=True
        )
        self.wait_until_synced()

    @property
    def url(self):
        return f"redis://127.0.0.1:{self.servers[0].port},127.0.0.1:{self.servers[1].port}"

    def wait_until_synced(self):
        """Wait until each server that runs is well, and three of them are masters of replicas."""
        self.wait_until_well()
        _until(lambda: len(self.pairs()) == 3)

    def wait_until_well(self):
        """Wait until each server that runs finds every slot served, and replicas their masters."""

        def is_well(server):
            with server.client() as client:
                state = client.execute_command("CLUSTER INFO")["cluster_state"]
                return (
                    state == "ok" and client.info("replication").get("master_link_status") != "down"
                )

        for server in self.servers:
            if server.process.poll() is None:
                _until(lambda server=server: is_well(server))

    def pairs(self):
        """Return the masters that have a replica, each with it."""
        roles = {}
        for server in self.servers:
            if server.process.poll() is None:
                with server.client() as client:
                    roles[server.port] = (server, client.info("replication"))
        found = [
            (roles[info["master_port"]][0], server)
            for server, info in roles.values()
            if info["role"] == "slave" and info["master_link_status"] == "up"
        ]
        return [(master, replica) for master, replica in found if master.process.poll() is None]

    def kill_a_master(self):
        self.pairs()[0][0].kill()

    def replica_of(self, key):
        """Return the replica of the master that serves the key, None if it has none."""
        for master, replica in self.pairs():
            with suppress(redis.exceptions.MovedError), master.client() as client:
                client.get(key)
                return replica
        return None

    def hand_over(self, replica):
        """Let a replica become the master, which goes on as its replica."""
        with replica.client() as client:
            client.execute_command("CLUSTER", "FAILOVER")
            _until(lambda: client.info("replication")["role"] == "master")

    def stop(self):
        for server in self.servers:
            server.stop()


class Watched:
    """A master with a replica, and a Sentinel that lets it take over."""

    def __init__(self, folder):
        self.master = Server(folder / "master")
        replica = Server(folder / "replica", *f"--replicaof 127.0.0.1 {self.master.port}".split())
        self.servers = [self.master, replica]
        with replica.client() as client:
            _until(lambda: client.info("replication")["master_link_status"] == "up")
        sentinel = Sentinel(folder / "sentinel", self.master)
        self.servers.append(sentinel)
        with sentinel.client() as client:
            _until(lambda: client.info("sentinel")["master0"]["slaves"] == 1)
        self.url = f"redis://127.0.0.1:{sentinel.port}"

    def stop(self):
        for server in self.servers:
            server.stop()


class Sentinel(Server):
    """One Sentinel, whose word is enough."""

    def __init__(self, folder, master):
        self._master = master
        super().__init__(folder)

    def _arguments(self):
        (self.folder / "sentinel.conf").write_text(
            f"""
            port {self.port}
            bind 127.0.0.1
            dir {self.folder}
            sentinel monitor main 127.0.0.1 {self._master.port} 1
            sentinel down-after-milliseconds main 500
            sentinel failover-timeout main 5000
            """
        )
        return [str(self.folder / "sentinel.conf"), "--sentinel"]


def _until(holds, seconds=30.0):
    until = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < until
        time.sleep(0.02)
