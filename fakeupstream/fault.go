package fakeupstream

import "sync"

// A FaultKind names a fault.
type FaultKind string

// The faults of a connection.
const (
	FaultCertWrongName  FaultKind = "cert-wrong-name"
	FaultCertExpired    FaultKind = "cert-expired"
	FaultCertSelfSigned FaultKind = "cert-self-signed"
)

// A Fault is something that goes wrong.
type Fault struct {
	Kind FaultKind
}

type faults struct {
	mu sync.Mutex
}

func (f *faults) takeConnection() (*Fault, bool) { return nil, false }

func (x *Exchange) takeFault() {}

var connectionFaults = map[FaultKind]func(*conn, *Fault){}

var requestFaults = map[FaultKind]func(*Exchange, *Fault) error{}

type pace struct{}

func (*pace) write(x *Exchange, p []byte) error {
	_, err := x.c.nc.Write(p)
	return err
}
