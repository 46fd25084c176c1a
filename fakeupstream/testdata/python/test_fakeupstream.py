"""The fake upstream from Python: unittest and the standard library only.

FAKEUPSTREAM names the program; python3 -m unittest runs this."""

import http.client
import json
import os
import ssl
import subprocess
import unittest
import urllib.parse
import urllib.request


class Upstream:
    """A running fakeupstream. It leaves when its standard input closes, so a
    test that dies takes it along."""

    def __init__(self, *args):
        self.process = subprocess.Popen(
            [os.environ.get("FAKEUPSTREAM", "fakeupstream"), *args],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        ready = json.loads(self.process.stdout.readline())
        self.url, self.control_url = ready["url"], ready["control"]
        self.tls = ssl.create_default_context(cadata=ready["ca_pem"])
        self.opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def close(self):
        self.process.stdin.close()
        self.process.stdout.close()
        self.process.wait(timeout=20)

    def connect(self):
        """A connection of the client under test."""
        host = urllib.parse.urlsplit(self.url).netloc
        return http.client.HTTPSConnection(host, context=self.tls, timeout=20)

    def control(self, method, path, body=None, /, **query):
        """Calls the control port; returns the JSON that it answers with."""
        request = urllib.request.Request(
            self.control_url + path + "?" + urllib.parse.urlencode(query), method=method,
            data=None if body is None else json.dumps(body).encode())
        with self.opener.open(request, timeout=20) as response:
            text = response.read()
        return json.loads(text) if text else None


class FakeUpstreamTest(unittest.TestCase):
    def setUp(self):
        self.up = Upstream()
        self.addCleanup(self.up.close)
        self.client = self.up.connect()
        self.addCleanup(self.client.close)

    def test_a_request_is_recorded(self):
        self.client.request("POST", "/v1/things?a=%2F", body="hello",
                            headers={"Authorization": "Bearer s3cret"})
        self.assertEqual(self.client.getresponse().status, 200)
        seen = self.up.control("GET", "/requests/wait", path="/v1/things")
        self.assertEqual(seen["target"], "/v1/things?a=%2F")
        self.assertIn(["Authorization", "Bearer s3cret"], seen["fields"])
        self.assertEqual((seen["body"], seen["complete"]), ("hello", True))

    def test_a_stream_in_lock_step(self):
        self.client.request("GET", "/sse?name=s")
        response = self.client.getresponse()
        for data in "one", "two":
            self.up.control("POST", "/events", {"stream": "s", "data": data})
            self.assertEqual(response.readline(), f"data: {data}\n".encode())
            self.assertEqual(response.readline(), b"\n")
        self.client.close()
        response.close()
        self.up.control("GET", "/streams/wait", stream="s", state="gone")

    def test_a_fault(self):
        self.up.control("POST", "/faults", {"kind": "truncate", "after": 3, "count": 1})
        self.client.request("GET", "/status/200")
        with self.assertRaises(http.client.IncompleteRead) as broken:
            self.client.getresponse().read()
        self.assertEqual(broken.exception.partial, b"200")

    def test_a_behaviour(self):
        self.up.control("PUT", "/behaviours", {"path": "/v1/teapot", "like": "/status/418"})
        self.client.request("GET", "/v1/teapot")
        self.assertEqual(self.client.getresponse().status, 418)


if __name__ == "__main__":
    unittest.main()
