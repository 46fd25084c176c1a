"""An HTTP client of Python: agent.py LIBRARY json|stream|upload|download URL [FILE], as ci/clients/http.go says."""
import os
import sys

library, what, url = sys.argv[1:4]
fields = {"Authorization": "Bearer " + os.environ["KEY"], "Content-Type": "application/json"}
if what == "json":
    method, body = "POST", b'{"hello": "world"}'
elif what == "upload":
    method, body = "PUT", open(sys.argv[4], "rb")
else:
    method, body = "GET", None

if library == "urllib":
    import urllib.request

    if what == "upload":
        fields["Content-Length"] = str(os.path.getsize(sys.argv[4]))
    answer = urllib.request.urlopen(urllib.request.Request(url, body, fields, method=method))
    lines = answer
elif library == "http.client":
    import http.client
    import urllib.parse

    u = urllib.parse.urlsplit(url)
    connection = http.client.HTTPConnection(u.netloc)
    if what == "upload":
        body = body.read()
    connection.request(method, u.path + "?" + u.query, body, fields)
    answer = connection.getresponse()
    assert answer.status == 200, answer.status
    lines = answer
else:
    from pip._vendor import requests

    response = requests.Session().request(method, url, data=body, headers=fields, stream=True)
    response.raise_for_status()
    answer, lines = response.raw, response.iter_lines(chunk_size=1)

if what == "stream":
    for line in lines:
        print(line.decode().strip(), flush=True)
else:
    while piece := answer.read(64 << 10):
        sys.stdout.buffer.write(piece)
