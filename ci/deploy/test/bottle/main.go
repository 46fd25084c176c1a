// Bottle is both ends of a trial of ci/deploy/compose.yaml: the upstream api.anthropic.com, and an agent that looks for
// ways out.
package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"os"
	"strings"
	"time"
)

func main() {
	log.SetFlags(0)
	switch os.Args[1] {
	case "upstream":
		log.Fatal(upstream(os.Args[2]))
	case "agent":
		agent(os.Args[2:])
	}
}

// upstream answers every request with the SHA-256 of the credential that it was sent, which itself would be masked, and
// trusts a certificate to the file caFile.
func upstream(caFile string) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	template := &x509.Certificate{
		SerialNumber:          big.NewInt(1),
		NotBefore:             time.Now().Add(-time.Hour),
		NotAfter:              time.Now().Add(time.Hour),
		DNSNames:              []string{"api.anthropic.com"},
		IsCA:                  true,
		BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return err
	}
	ln, err := tls.Listen("tcp", ":443", &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}})
	if err != nil {
		return err
	}
	if err := os.WriteFile(caFile, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o644); err != nil {
		return err
	}
	return http.Serve(ln, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "credential %x\n", sha256.Sum256([]byte(r.Header.Get("Authorization"))))
	}))
}

// agent asks the proxy once it is there, and then looks whether anything else of what it is given can be reached, and
// whether it has a way to the internet.
func agent(others []string) {
	for range 100 { // ten seconds or so: the proxy may still be starting
		resp, err := http.Get(os.Getenv("ANTHROPIC_BASE_URL") + "/v1/models")
		if err != nil {
			time.Sleep(100 * time.Millisecond)
			continue
		}
		body, _ := io.ReadAll(resp.Body)
		fmt.Printf("answer %d %s\n", resp.StatusCode, strings.TrimSpace(string(body)))
		break
	}
	for _, other := range others {
		conn, err := net.DialTimeout("tcp", other, time.Second)
		if err != nil {
			fmt.Printf("closed %s\n", other)
			continue
		}
		fmt.Printf("open %s\n", other)
		conn.Close()
	}
	routes, err := os.ReadFile("/proc/net/route")
	if err != nil {
		log.Fatal(err)
	}
	for line := range strings.Lines(string(routes)) {
		if f := strings.Fields(line); len(f) > 1 && f[1] == "00000000" {
			fmt.Println("a default route")
		}
	}
	fmt.Println("done")
}
