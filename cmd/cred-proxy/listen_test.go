package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"strconv"
	"sync"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// A listener is an upstream that the script plays itself, byte for byte.
type listener struct {
	conns chan *net.TCPConn
	tls   *tls.Config // nil: plain
}

// cmdListen opens an upstream that the script plays itself. $UPSTREAM is then
// its URL, as after upstream, or $NAME is.
//
//	listen [-plain] [-cert=KIND] [-tls=1.1] [-http1] [NAME]
//
// KIND is untrusted, expired or wrongname; with -tls=1.1 it offers nothing newer,
// and with -http1 no HTTP/2, which who speaks that would take otherwise.
func cmdListen(ts *testscript.TestScript, neg bool, args []string) {
	plain, kind, old, http1 := false, "good", false, false
	args = flagged(ts, args, func(name, value string) bool {
		switch {
		case name == "plain":
			plain = true
		case name == "cert":
			kind = value
		case name == "tls" && value == "1.1":
			old = true
		case name == "http1":
			http1 = true
		default:
			return false
		}
		return true
	})
	usage(ts, neg || len(args) > 1, "listen [-plain] [-cert=untrusted|expired|wrongname] [-tls=1.1] [-http1] [NAME]")
	l := &listener{conns: make(chan *net.TCPConn, 64)}
	if !plain {
		cert, err := certificates()
		ts.Check(err)
		if cert.kinds[kind] == nil {
			ts.Fatalf("no such certificate: %s", kind)
		}
		l.tls = &tls.Config{Certificates: []tls.Certificate{*cert.kinds[kind]}, NextProtos: []string{"h2", "http/1.1"}}
		if http1 {
			l.tls.NextProtos = []string{"http/1.1"}
		}
		if old {
			l.tls.MinVersion, l.tls.MaxVersion = tls.VersionTLS10, tls.VersionTLS11
		}
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	ts.Check(err)
	ts.Defer(func() {
		ln.Close()
		for c := range l.conns {
			c.Close()
		}
	})
	go func() {
		defer close(l.conns)
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			l.conns <- c.(*net.TCPConn)
		}
	}()
	url := "https://localhost:" + strconv.Itoa(ln.Addr().(*net.TCPAddr).Port)
	if plain {
		url = "http" + url[len("https"):]
	}
	name := append(args, "UPSTREAM")[0]
	of(ts).sources[name] = l
	if name == "UPSTREAM" {
		setUpstream(ts, url)
	} else {
		ts.Setenv(name, url)
	}
}

// cmdAccept takes the next connection to an upstream that the script plays, and
// with TLS prints what its handshake agreed on.
//
//	accept [-from=NAME] CONN
//	! accept ...   the client must end the handshake
func cmdAccept(ts *testscript.TestScript, neg bool, args []string) {
	from := "UPSTREAM"
	args = flagged(ts, args, func(name, value string) bool { from = value; return name == "from" })
	usage(ts, len(args) != 1, "[!] accept [-from=NAME] CONN")
	l := of(ts).sources[from]
	if l == nil {
		ts.Fatalf("no listener is named %s", from)
	}
	var tcp *net.TCPConn
	select {
	case tcp = <-l.conns:
	case <-time.After(patience):
		ts.Fatalf("no connection came in %v", patience)
	}
	c := newConn(tcp, tcp, true)
	of(ts).hold(ts, args[0], c)
	if l.tls == nil {
		return
	}
	t := tls.Server(tcp, l.tls)
	t.SetDeadline(time.Now().Add(patience))
	err := t.Handshake()
	t.SetDeadline(time.Time{})
	if err == nil && neg {
		// In TLS 1.3 a client may still refuse the certificate after this end is done.
		t.SetReadDeadline(time.Now().Add(patience))
		_, err = t.Read(make([]byte, 1))
	}
	if neg {
		fmt.Fprintln(ts.Stdout(), err)
		broken(ts, true, err)
		return
	}
	ts.Check(err)
	state := t.ConnectionState()
	fmt.Fprintf(ts.Stdout(), "version %s\nname %s\nprotocol %s\nresumed %v\n",
		tls.VersionName(state.Version), state.ServerName, state.NegotiatedProtocol, state.DidResume)
	of(ts).conns[args[0]] = newConn(tcp, t, true)
}

// certs are the certificates that a listener can show.
type certs struct {
	ca    []byte // PEM of the CA that the program trusts
	kinds map[string]*tls.Certificate
}

// certificates mints them, once.
var certificates = sync.OnceValues(func() (*certs, error) {
	c := &certs{kinds: make(map[string]*tls.Certificate)}
	good, err := mint(nil, "the CA of the scenarios", time.Hour)
	if err != nil {
		return nil, err
	}
	other, err := mint(nil, "a CA that nobody trusts", time.Hour)
	if err != nil {
		return nil, err
	}
	c.ca = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: good.Certificate[0]})
	for kind, of := range map[string]struct {
		ca   *tls.Certificate
		name string
		life time.Duration
	}{
		"good":      {good, "localhost", time.Hour},
		"untrusted": {other, "localhost", time.Hour},
		"expired":   {good, "localhost", -time.Hour},
		"wrongname": {good, "elsewhere.test", time.Hour},
	} {
		if c.kinds[kind], err = mint(of.ca, of.name, of.life); err != nil {
			return nil, err
		}
	}
	return c, nil
})

// mint makes a certificate that ends after life, signed by ca; or a CA, if ca
// is nil.
func mint(ca *tls.Certificate, name string, life time.Duration) (*tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber:          serial,
		Subject:               pkix.Name{CommonName: name},
		NotBefore:             time.Now().Add(-24 * time.Hour),
		NotAfter:              time.Now().Add(life),
		BasicConstraintsValid: true,
		IsCA:                  ca == nil,
		KeyUsage:              x509.KeyUsageDigitalSignature,
	}
	parent, signer := template, any(key)
	if ca == nil {
		template.KeyUsage |= x509.KeyUsageCertSign
	} else {
		template.DNSNames = []string{name}
		template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
		if parent, err = x509.ParseCertificate(ca.Certificate[0]); err != nil {
			return nil, err
		}
		signer = ca.PrivateKey
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
	if err != nil {
		return nil, err
	}
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, nil
}
