# SPDX-License-Identifier: Apache-2.0
"""An agent of one's own for tests: started on any free port with a state directory of its own, asked over HTTP."""
import http.client
import json
import re
import signal
import socket
import subprocess
from pathlib import Path

from runtimes import die_with_parent
from support import STOP_S, fathom_binary, wait_for


class Agent:
    def __init__(self, directory, *arguments):
        self.state = Path(directory) / "state"
        self.socket = Path(directory) / "fathom.sock"
        self.arguments = arguments
        self.process = None
        self.wrapper = []  # a command that runs its arguments

    def start(self):
        command = [*self.wrapper, fathom_binary(), "serve", "--state", self.state, "--socket", self.socket,
                   "--listen", "127.0.0.1:0", *self.arguments]
        log = open(self.state.parent / "agent.err", "w")
        self.process = subprocess.Popen([str(c) for c in command], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                        stderr=log, text=True, preexec_fn=die_with_parent)
        self.lines = []
        for line in self.process.stdout:
            self.lines.append(line)
            found = re.match(r"page: +(http://127\.0\.0\.1:(\d+)/)#token=(\S+)", line)
            if found:
                self.url, self.port, self.token = found[1], int(found[2]), found[3]
                break
        else:
            raise RuntimeError(f"the agent ended: {self.said()}")
        self.reader_token = (self.state / "token-reader").read_text().strip()
        wait_for(lambda: self.request("GET", "/healthz", token=None)[0] == 200, 30, "a first reading")
        return self

    def said(self):
        return (self.state.parent / "agent.err").read_text()

    def stop(self, how=signal.SIGTERM):
        if self.process.poll() is None:
            self.process.send_signal(how)
        status = self.process.wait(timeout=STOP_S)
        self.process.stdout.close()
        return status

    def request(self, method, path, token="", headers=None, body=None):
        """Status, headers, body. token "": the operator's; None: none."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=STOP_S)
        sent = dict(headers or {})
        if token is not None:
            sent["Authorization"] = f"Bearer {token or self.token}"
        try:
            connection.request(method, path, body=body, headers=sent)
            answer = connection.getresponse()
            return answer.status, answer.headers, answer.read()
        finally:
            connection.close()

    def json(self, path, method="GET", status=200, **options):
        got, _, body = self.request(method, path, **options)
        assert got == status, body
        return json.loads(body)

    def container(self, name):
        """What /api/containers says of the container called `name`; None when it is not there."""
        for row in self.json("/api/containers")["containers"]:
            if row["name"] == name and row["resource"] == "container" and not row.get("dead"):
                return row
        return None

    def raw(self, data, timeout=STOP_S):
        """What comes back for bytes as they are, until the agent closes."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=timeout) as connection:
            connection.sendall(data)
            connection.shutdown(socket.SHUT_WR)
            answer = b""
            while piece := connection.recv(65536):
                answer += piece
            return answer
