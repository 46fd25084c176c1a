package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"credproxy/fakeupstream"
)

// token is the credential that a proxy must put in place of the agent's.
const token = "the-token-that-the-bench-injects"

// upstreams is where the two upstreams are that the process `bench upstream` serves.
//
// Fake is the embedded fake upstream. It records every request, hashes every body and watches the client while it waits.
// For streams that is cheap enough: 27 µs of CPU for an event, a third of the core that it shares with the load generator.
// Bulk costs it twice what it costs Lean, and a small request 58 µs, against Lean's 13 and the proxies' 20 to 30. The
// upstream would be what is busy; and a proxy that waits handles less at a time, so that each request costs it more (the
// same proxy 30 µs before Lean, 45 to 60 before Fake). So these have Lean, which reads a request, judges its credential
// and writes bytes.
type upstreams struct {
	Fake, Lean string // host:port
	CA         string // PEM: whom the certificates are from
}

// startUpstreams runs the upstreams in a process of their own, until ctx is done or this process ends.
func startUpstreams(ctx context.Context) (u upstreams, stop func(), err error) {
	self, err := os.Executable()
	if err != nil {
		return u, nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	cmd := exec.CommandContext(ctx, self, "upstream")
	cmd.Stderr = os.Stderr
	if _, err = cmd.StdinPipe(); err != nil { // at its end when this process is
		cancel()
		return u, nil, err
	}
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		cancel()
		return u, nil, err
	}
	stop = func() { cancel(); cmd.Wait() }
	if err := json.NewDecoder(out).Decode(&u); err != nil {
		stop()
		return u, nil, fmt.Errorf("starting the upstreams: %w", err)
	}
	return u, stop, nil
}

// serveUpstreams is the program of that process. It ends with stdin.
func serveUpstreams(stdin io.Reader, stdout io.Writer) error {
	fake, err := fakeupstream.Start(context.Background(), fakeupstream.Options{BodyLimit: 1, RequestLimit: 100})
	if err != nil {
		return err
	}
	defer fake.Close()
	fake.Set("/base/check", checkFake)
	config, ca, err := newCertificate()
	if err != nil {
		return err
	}
	ln, err := tls.Listen("tcp", "127.0.0.1:0", config)
	if err != nil {
		return err
	}
	defer ln.Close()
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			go serveLean(c)
		}
	}()
	u := upstreams{strings.TrimPrefix(fake.URL, "https://"), ln.Addr().String(), string(fake.CAPEM) + string(ca)}
	if err := json.NewEncoder(stdout).Encode(u); err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, stdin)
	return err
}

// checkFake answers with the SHA-256 of the body, if the request is as a proxy should have made it.
func checkFake(x *fakeupstream.Exchange) error {
	if _, err := x.ReadBody(); err != nil {
		return err
	}
	q := x.Request()
	credential, coding := q.Values("Authorization"), q.Values("Accept-Encoding")
	if len(credential) != 1 || credential[0] != "Bearer "+token || len(coding) != 1 || coding[0] != "identity" {
		return x.Answer(http.StatusForbidden, nil)
	}
	return x.Answer(http.StatusOK, []byte(q.BodySHA256))
}

var (
	leanAnswer  = append(leanHead(smallSize), bytes.Repeat([]byte("a"), smallSize)...)
	leanRefusal = []byte("HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
)

func leanHead(length int) []byte {
	return fmt.Appendf(nil, "HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\nContent-Length: %d\r\n\r\n", length)
}

// serveLean answers the requests of a connection until one is wrong.
func serveLean(c net.Conn) {
	defer c.Close()
	for br := bufio.NewReaderSize(c, 16<<10); ; {
		length, credentials, codings, wrong := 0, 0, 0, 0
		start, err := readHead(br, func(name, value []byte) {
			switch {
			case isField(name, "Content-Length"):
				length, _ = strconv.Atoi(string(value))
			case isField(name, "Authorization") && string(value) == "Bearer "+token:
				credentials++
			case isField(name, "Accept-Encoding") && string(value) == "identity":
				codings++
			case isField(name, "Authorization"), isField(name, "Accept-Encoding"):
				wrong++
			}
		})
		if err != nil {
			return
		}
		if credentials != 1 || codings != 1 || wrong > 0 {
			c.Write(leanRefusal)
			return
		}
		if err := answerLean(c, br, start, length); err != nil {
			return
		}
	}
}

// answerLean answers a request line whose body has that length: /base/check as checkFake does, /base/bytes with as many as
// it asks for, anything else with 1 KiB.
func answerLean(c net.Conn, br *bufio.Reader, start string, length int) error {
	if strings.HasPrefix(start, "POST /base/check ") {
		sum := sha256.New()
		if _, err := io.CopyN(sum, br, int64(length)); err != nil {
			return err
		}
		_, err := c.Write(fmt.Appendf(leanHead(2*sha256.Size), "%x", sum.Sum(nil)))
		return err
	}
	if _, err := br.Discard(length); err != nil {
		return err
	}
	if query, ok := strings.CutPrefix(start, "GET /base/bytes?n="); ok {
		query, _, _ = strings.Cut(query, " ")
		n, err := strconv.Atoi(query)
		if err != nil {
			return err
		}
		_, err = c.Write(leanHead(n))
		for piece := make([]byte, 256<<10); err == nil && n > 0; {
			var wrote int
			wrote, err = c.Write(piece[:min(n, len(piece))])
			n -= wrote
		}
		return err
	}
	_, err := c.Write(leanAnswer)
	return err
}

// newCertificate returns a configuration with a certificate for localhost, which is its own authority.
func newCertificate() (config *tls.Config, ca []byte, err error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	t := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: []string{"localhost"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, t, t, &key.PublicKey, key)
	if err != nil {
		return nil, nil, err
	}
	config = &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}, NextProtos: []string{"http/1.1"}}
	return config, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), nil
}
