package proxy

import (
	"fmt"
	"net"
	"net/netip"
	"strings"
)

// Networks is a list of networks; the empty one stands for everywhere.
type Networks []netip.Prefix

// ParseNetworks parses networks and addresses, separated by commas: "10.0.0.0/8, fd00::1". What begins with ::ffff: and
// is an IPv4 address or network is taken for that.
func ParseNetworks(list string) (n Networks, _ error) {
	for item := range strings.SplitSeq(list, ",") {
		item = strings.TrimSpace(item)
		prefix, err := netip.ParsePrefix(item)
		if addr, isAddr := netip.ParseAddr(item); isAddr == nil && addr.Zone() == "" {
			prefix, err = netip.PrefixFrom(addr, addr.BitLen()), nil
		}
		if err != nil {
			return nil, fmt.Errorf("%q is no network, such as 10.0.0.0/8, and no address", item)
		}
		if prefix.Addr().Is4In6() && prefix.Bits() >= 96 {
			prefix = netip.PrefixFrom(prefix.Addr().Unmap(), prefix.Bits()-96)
		}
		if prefix != prefix.Masked() { // a network was meant, or an address: one opens much more than the other
			return nil, fmt.Errorf("%q is an address and not its network: that is %s", item, prefix.Masked())
		}
		n = append(n, prefix)
	}
	return n, nil
}

// String is what ParseNetworks takes; empty for everywhere.
func (n Networks) String() string {
	var s []string
	for _, p := range n {
		s = append(s, p.String())
	}
	return strings.Join(s, ",")
}

// contains reports whether an address is in one of the networks. What is no IP address, such as a Unix socket's, is.
func (n Networks) contains(a net.Addr) bool {
	tcp, ok := a.(*net.TCPAddr)
	if len(n) == 0 || !ok {
		return true
	}
	addr := tcp.AddrPort().Addr().Unmap().WithZone("")
	for _, p := range n {
		if p.Contains(addr) {
			return true
		}
	}
	return false
}

// admits reports whether a connection is from one of the networks. One over TCP of which the system does not say any more
// where it is from, as when it was reset before it was accepted, is from none.
func (n Networks) admits(conn net.Conn) bool {
	peer := conn.RemoteAddr()
	if _, tcp := conn.LocalAddr().(*net.TCPAddr); tcp && peer == nil && len(n) > 0 {
		return false
	}
	return n.contains(peer)
}

// unixPeer is the process at the other end of a Unix socket.
type unixPeer struct{ uid, pid int }

func (p unixPeer) Network() string { return "unix" }
func (p unixPeer) String() string  { return fmt.Sprintf("unix:uid=%d,pid=%d", p.uid, p.pid) }

// peerOf is who is at the other end of a connection, as Events have it.
func peerOf(conn net.Conn) net.Addr {
	if c, ok := conn.(*net.UnixConn); ok {
		if p, ok := unixPeerOf(c); ok {
			return p
		}
	}
	return conn.RemoteAddr()
}

// refusePeer says no to a connection from elsewhere, before it reads from it. Only so many are told at a time; the others
// are closed.
func (s *Server) refusePeer(conn net.Conn) {
	if s.crowd.toldPeer.now() {
		from := "somewhere" // and the system does not say where
		if peer := conn.RemoteAddr(); peer != nil {
			from = peer.String()
		}
		s.warn(fmt.Sprintf("refused a connection from %s, which is not among the allowed peers", from))
	}
	select {
	case s.crowd.peers <- struct{}{}:
		a := newAgent(s, conn)
		go func() {
			defer func() { <-s.crowd.peers }()
			defer a.survive()
			a.turnAway(&refusePeer)
		}()
	default:
		conn.Close()
	}
}
