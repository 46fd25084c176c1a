package proxy

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
)

// From where agents may connect.

func TestNetworks(t *testing.T) {
	for _, test := range []struct {
		list    string
		in, out []string
	}{
		{"10.0.0.0/8", []string{"10.1.2.3", "::ffff:10.1.2.3"}, []string{"11.0.0.1", "::1", "::ffff:11.0.0.1", "::10.1.2.3"}},
		{" 192.168.1.7 ,fd00::/8", []string{"192.168.1.7", "fd12::1", "::ffff:192.168.1.7"}, []string{"192.168.1.8", "fe80::1"}},
		{"::ffff:10.0.0.0/104", []string{"10.1.2.3", "::ffff:10.1.2.3"}, []string{"11.0.0.1"}},
		{"::ffff:10.0.0.1", []string{"10.0.0.1"}, []string{"10.0.0.2"}},
		{"::ffff:0:0/96", []string{"1.2.3.4", "::ffff:1.2.3.4"}, []string{"::1"}},
		{"::/95", []string{"::1"}, []string{"1.2.3.4"}},
		{"fe80::/10", []string{"fe80::1%eth0"}, []string{"::1"}},
		{"0.0.0.0/0", []string{"1.2.3.4"}, []string{"::1"}},
		{"::/0", []string{"::1"}, []string{"1.2.3.4", "::ffff:1.2.3.4"}},
		{"127.0.0.1/32,::1", []string{"127.0.0.1", "::1"}, []string{"127.0.0.2"}},
	} {
		n, err := ParseNetworks(test.list)
		if err != nil {
			t.Fatal(err)
		}
		if again, err := ParseNetworks(n.String()); !slices.Equal(again, n) {
			t.Errorf("%s is written as %s: %v", test.list, n, err)
		}
		for i, list := range [][]string{test.out, test.in} {
			for _, a := range list {
				addr, err := net.ResolveTCPAddr("tcp", net.JoinHostPort(a, "1"))
				if err != nil {
					t.Fatal(err)
				}
				if got := n.contains(addr); got != (i == 1) {
					t.Errorf("%s: %s: %v", test.list, a, got)
				}
			}
		}
		if again, err := ParseNetworks(n.String()); err != nil || !slices.Equal(again, n) {
			t.Errorf("%s: said to be %s: %v", test.list, n, err)
		}
		if !n.contains(&net.UnixAddr{Net: "unix"}) {
			t.Error("a Unix socket's peer is not let in")
		}
	}
	if !Networks(nil).contains(&net.TCPAddr{IP: net.IPv4(1, 2, 3, 4)}) {
		t.Error("without networks, not all are let in")
	}
}

func TestNetworksErrors(t *testing.T) {
	for list, want := range map[string]string{
		"":                          `""`,
		"10.0.0.0/8,":               `""`,
		"10.0.0.0/8,,::1":           `""`,
		"10.0.0.0/8 ::1":            `"10.0.0.0/8 ::1"`,
		"::1,10.0.0.0/33":           `"10.0.0.0/33"`,
		"10.0.0":                    `"10.0.0"`,
		"10.0.0.5/8":                `"10.0.0.5/8" is an address and not its network: that is 10.0.0.0/8`,
		"::ffff:10.0.0.5/104":       `"::ffff:10.0.0.5/104" is an address and not its network: that is 10.0.0.0/8`,
		"::ffff:0:0/95":             `"::ffff:0:0/95" is an address and not its network: that is ::fffe:0:0/95`,
		"fe80::1%eth0":              `"fe80::1%eth0"`,
		"localhost":                 `"localhost"`,
		"10.0.0.0/255.0.0.0":        `"10.0.0.0/255.0.0.0"`,
		"010.0.0.1":                 `"010.0.0.1"`,
		"10.0.0.0/8;192.168.0.0/16": `"10.0.0.0/8;192.168.0.0/16"`,
	} {
		if n, err := ParseNetworks(list); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%q: %v, %v", list, n, err)
		}
	}
}

// TestRefusedPeersTakeNoPlace: however many connect from elsewhere and stay, those from the allowed networks are served.
func TestRefusedPeersTakeNoPlace(t *testing.T) {
	addr, _ := serve(t, New(Options{Peers: Networks{netip.MustParsePrefix("127.0.0.2/32")}, Limits: Limits{Agents: 1}}))
	for range 3 * maxRefusedPeers {
		c := dialAgent(t, addr)
		defer func() {
			c.SetReadDeadline(time.Now().Add(10 * time.Second))
			if _, err := io.ReadAll(c); isTimeout(err) {
				t.Error("one of them is left open")
			}
		}()
	}
	c, err := (&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 2)}}).Dial("tcp", addr)
	if err != nil {
		t.Skip("127.0.0.2 is not an address here: ", err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(10 * time.Second))
	began := time.Now()
	io.WriteString(c, "GET /none HTTP/1.1\r\nHost: x\r\n\r\n")
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil || resp.Header.Get(ErrorField) != refuseNoRoute.Code {
		t.Errorf("%v %v", resp, err)
	}
	if d := time.Since(began); d > 5*time.Second {
		t.Errorf("served after %v", d)
	}
}

// TestRefusedPeersAreTold: those that leave when they were told make room for others to be told.
func TestRefusedPeersAreTold(t *testing.T) {
	addr, _ := serve(t, New(Options{Peers: Networks{netip.MustParsePrefix("127.0.0.2/32")}}))
	for i := range 2*maxRefusedPeers + 1 {
		c := dialAgent(t, addr)
		if got, err := io.ReadAll(c); err != nil || !bytes.HasPrefix(got, []byte("HTTP/1.1 403 ")) {
			t.Fatalf("number %d: %q, %v", i, got, err)
		}
		c.Close()
	}
}

// gonePeer is a connection whose other end is gone, so that the system does not say who it was.
type gonePeer struct{ net.Conn }

func (gonePeer) RemoteAddr() net.Addr { return nil }

// TestUnknownPeer: who connected over TCP and is not to be known any more is in no network.
func TestUnknownPeer(t *testing.T) {
	for _, network := range []string{"tcp", "unix"} {
		address := "127.0.0.1:0"
		if network == "unix" {
			address = filepath.Join(t.TempDir(), "s")
		}
		ln, err := net.Listen(network, address)
		if err != nil {
			t.Skip(err) // a name that is too long
		}
		defer ln.Close()
		told := make(chan Event, 1)
		s := New(Options{Peers: Networks{netip.MustParsePrefix("127.0.0.0/8")}, Observer: func(e *Event) { told <- *e }})
		agent, err := net.Dial(network, ln.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer agent.Close()
		conn, err := ln.Accept()
		if err != nil {
			t.Fatal(err)
		}
		s.welcome(gonePeer{conn})
		io.WriteString(agent, "GET /none HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
		want := map[string]string{"tcp": refusePeer.Code, "unix": refuseNoRoute.Code}[network]
		if e := <-told; e.Refusal != want {
			t.Errorf("%s: %s", network, e.Refusal)
		}
		s.Shutdown(t.Context())
		if !Networks(nil).admits(gonePeer{conn}) {
			t.Errorf("%s: refused where all are served", network)
		}
	}
}

// TestRefusedPeerPanics: a defect in who is told of a refused peer costs that connection.
func TestRefusedPeerPanics(t *testing.T) {
	said := make(chan string, 9)
	s := New(Options{Peers: Networks{netip.MustParsePrefix("127.0.0.2/32")}, Warn: func(line string) { said <- line },
		Observer: func(*Event) { panic("a defect") }})
	addr, _ := serve(t, s)
	c := dialAgent(t, addr)
	c.Close()
	if first := <-said; !strings.HasPrefix(first, "refused a connection from 127.0.0.1:") {
		t.Error(first)
	}
	if second := <-said; !strings.HasPrefix(second, "internal error (string)") {
		t.Error(second)
	}
}

// TestUnixPeer: the event of an exchange on a Unix socket says whose process it was, on Linux.
func TestUnixPeer(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("the system does not tell")
	}
	dir, err := os.MkdirTemp("", "") // t.TempDir is too long for a socket on some systems
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	ln, err := net.Listen("unix", filepath.Join(dir, "s"))
	if err != nil {
		t.Fatal(err)
	}
	peers := make(chan string, 1)
	s := New(Options{Peers: Networks{netip.MustParsePrefix("10.0.0.0/8")}, Observer: func(e *Event) { peers <- e.Peer.Network() + " " + e.Peer.String() }})
	go s.Serve(ln)
	defer s.Shutdown(t.Context())
	c, err := net.Dial("unix", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	io.WriteString(c, "GET /none HTTP/1.1\r\nHost: x\r\n\r\n")
	if got, want := <-peers, fmt.Sprintf("unix unix:uid=%d,pid=%d", os.Getuid(), os.Getpid()); got != want {
		t.Errorf("%q, want %q", got, want)
	}
}
