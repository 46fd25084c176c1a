// Package fakeupstream is an HTTPS upstream for tests: it starts in
// milliseconds, remembers exactly what it was sent, streams on command and
// misbehaves on request.
//
// A test starts one, points the client or proxy under test at its URL, and
// looks at what arrived:
//
//	up := fakeupstream.NewTest(t)
//	resp, err := up.Client().Get(up.URL + "/echo")
//	...
//	fmt.Print(up.Requests()[0].Dump()) // the request, byte for byte
//
// # What it answers
//
// A request is answered by the [Behaviour] of its path. Those of [Behaviours]
// are there from the start, below any base path: /base/echo is /echo. A path
// that matches nothing is /echo. [Server.Set] gives a path a behaviour of its
// own: the bytes of [Raw], any built-in one by [Like], or a function of the
// caller's that drives the [Exchange]. The built-in ones, which [Behaviours]
// describes with their parameters, are:
//
//	/echo           what was received, as JSON
//	/reflect        the credential that was received, in many spellings
//	/encoded        an echo in any Content-Encoding
//	/status/{x}     a status
//	/redirect       a chain of redirects
//	/links          pages with absolute Link fields
//	/sse            server-sent events, in lock-step or on a timetable
//	/bytes          a body of any size with a known SHA-256
//	/sink           reads a body, says its size and SHA-256
//	/interim        1xx responses before the answer
//	/trailers       trailers behind the answer
//	/early          an answer before the body is read
//	/hang           no answer
//	/ws             a WebSocket
//	/v1/messages    the Anthropic API, with
//	/v1/messages/count_tokens  and
//	/v1/models      and
//	/v1/models/{x}  which it shares with
//	/v1/chat/completions  and
//	/v1/responses   the OpenAI API
//	/git/           git smart HTTP
//	/info/lfs/objects/batch  and
//	/lfs/objects/{x}  Git LFS
//	/npm/           an npm registry
//	/pypi/          a Python package index
//	/goproxy/       a Go module proxy
//
// # Streams
//
// A GET of /sse?name=x opens a stream that the test drives in lock-step:
// [Server.WaitStream], [Server.Emit], [Server.EndStream], [Server.CutStream],
// and [Server.WaitStreamGone] for the moment in which its client left.
// /sse?n=30&ms=50 runs on a timetable instead, each event stamped with the
// time at which it was written.
//
// # Faults
//
// [Server.Inject] breaks the next requests or connections, or all of them until
// [Server.ClearFaults]: see [Fault].
//
// [StartEgress] starts a proxy that knows CONNECT, for clients whose way to an
// upstream leads through one.
//
// # How it is made
//
// There is no [net/http.Server] here: a connection is an accept loop, a TLS
// handshake and a bufio.Reader (conn.go), so that a head can be kept as it
// was received (head.go), an answer can be wrong in any way (exchange.go,
// fault.go), a connection can end in any way (after.go), and Close never waits
// for a client. Messages are still judged by net/http's parser.
//
// Everything listens on 127.0.0.1. Recorded requests hold the credentials that
// were sent, since tests look for them; log lines never do.
package fakeupstream
