package fakeupstream

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
	"net/url"
	"sync"
	"time"
)

// authority is the CA of this process. Every server of the process is trusted
// by it, so a client needs one CA file whatever it talks to.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pem  []byte
}

var processAuthority = sync.OnceValues(newAuthority)

func newAuthority() (*authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	t := &x509.Certificate{
		SerialNumber:          big.NewInt(1),
		Subject:               pkix.Name{CommonName: "fakeupstream CA"},
		NotBefore:             time.Now().Add(-time.Hour),
		NotAfter:              time.Now().Add(365 * 24 * time.Hour),
		IsCA:                  true,
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	}
	der, err := x509.CreateCertificate(rand.Reader, t, t, &key.PublicKey, key)
	if err != nil {
		return nil, fmt.Errorf("minting the authority: %w", err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	return &authority{cert, key, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})}, nil
}

// identity is what a server shows of itself in a handshake.
type identity struct {
	authority *authority
	caPEM     []byte
	names     []string
	good      *tls.Config
}

func newIdentity(names []string) (*identity, error) {
	ca, err := processAuthority()
	if err != nil {
		return nil, err
	}
	id := &identity{
		authority: ca,
		caPEM:     ca.pem,
		names:     append([]string{"localhost", "upstream.test"}, names...),
	}
	cert, err := id.mint(nil)
	if err != nil {
		return nil, err
	}
	id.good = serverConfig(cert)
	return id, nil
}

func serverConfig(cert tls.Certificate) *tls.Config {
	return &tls.Config{
		Certificates: []tls.Certificate{cert},
		MinVersion:   tls.VersionTLS12,
		NextProtos:   []string{"http/1.1"},
	}
}

// mint makes a leaf certificate for the names; a fault spoils it.
func (id *identity) mint(f *Fault) (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return tls.Certificate{}, err
	}
	t := &x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{CommonName: "fakeupstream"},
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().Add(365 * 24 * time.Hour),
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		DNSNames:     id.names,
		IPAddresses:  []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback},
	}
	parent, signer := id.authority.cert, id.authority.key
	if f != nil && badCertificates[f.Kind](t, f) {
		parent, signer = t, key
	}
	der, err := x509.CreateCertificate(rand.Reader, t, parent, &key.PublicKey, signer)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("minting a certificate: %w", err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, nil
}

// badCertificates make of a certificate one that a client must refuse, by fault.
var badCertificates = map[FaultKind]func(*x509.Certificate, *Fault) (selfSigned bool){
	FaultCertWrongName: func(c *x509.Certificate, _ *Fault) bool {
		c.DNSNames, c.IPAddresses = []string{"somebody-else.test"}, nil
		return false
	},
	FaultCertExpired: func(c *x509.Certificate, _ *Fault) bool {
		c.NotBefore = time.Now().Add(-48 * time.Hour)
		c.NotAfter = time.Now().Add(-24 * time.Hour)
		return false
	},
	FaultCertSelfSigned: func(*x509.Certificate, *Fault) bool { return true },
	FaultCertMalformed: func(c *x509.Certificate, f *Fault) bool {
		c.URIs = []*url.URL{{Scheme: "https", Host: "[" + f.text("no-end")}}
		return false
	},
}

// config returns the configuration of a handshake that shows a bad certificate.
// It is made anew, and so has session keys of its own: a client that resumes a
// session is shown no certificate at all.
func (id *identity) config(f *Fault) (*tls.Config, error) {
	cert, err := id.mint(f)
	if err != nil {
		return nil, err
	}
	return serverConfig(cert), nil
}
