package fakeupstream

import (
	"errors"
	"fmt"
	"net/http"
)

// messageBuiltins are answers in unusual messages.
var messageBuiltins = []builtin{
	{"/interim", "n= (1) interim responses of status= (103) and then an echo; 101 is final", newInterim},
	{"/trailers", "a chunked body with n= (2) trailers", newTrailers},
	{"/early", "status= (413) before the body is read; then=keep reads it, others end the connection so", newEarly},
	{"/hang", "reads the request and says nothing; head=1 sends a head first", newHang},
}

// newInterim is /interim.
func newInterim(p params) (Behaviour, error) {
	n, err1 := p.num("n", 1)
	status, err2 := p.num("status", http.StatusEarlyHints)
	if err := firstError(err1, err2); err != nil {
		return nil, err
	}
	if status < 100 || status > 199 {
		return nil, errors.New("want a status from 100 to 199")
	}
	return func(x *Exchange) error {
		if _, err := x.ReadBody(); err != nil {
			return err
		}
		if status == http.StatusSwitchingProtocols {
			x.Then(Hang)
			return x.WriteRaw([]byte("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: fake\r\n\r\n"))
		}
		for i := range n {
			if err := x.Interim(int(status), Field{"Link", fmt.Sprintf("</style-%d.css>; rel=preload", i+1)}); err != nil {
				return err
			}
		}
		return echo(x)
	}, nil
}

// newTrailers is /trailers.
func newTrailers(p params) (Behaviour, error) {
	n, err := p.num("n", 2)
	if err != nil {
		return nil, err
	}
	return func(x *Exchange) error {
		if _, err := x.ReadBody(); err != nil {
			return err
		}
		if err := x.Head(http.StatusOK, Chunked, 0, plainText, Field{"Trailer", "X-Trailer-1"}); err != nil {
			return err
		}
		if _, err := x.Write([]byte("the body\n")); err != nil {
			return err
		}
		var trailers []Field
		for i := range n {
			trailers = append(trailers, Field{fmt.Sprintf("X-Trailer-%d", i+1), fmt.Sprint(i + 1)})
		}
		return x.Finish(trailers...)
	}, nil
}

// newEarly is /early: a final response to a request that is still arriving.
func newEarly(p params) (Behaviour, error) {
	status, err1 := p.num("status", http.StatusRequestEntityTooLarge)
	then, err2 := p.after("then")
	if err := firstError(err1, err2); err != nil {
		return nil, err
	}
	if status < 200 || status > 999 {
		return nil, errors.New("want a status from 200 to 999")
	}
	return func(x *Exchange) error {
		x.Then(then)
		return x.Answer(int(status), []byte("enough\n"), plainText)
	}, nil
}

// newHang is /hang.
func newHang(p params) (Behaviour, error) {
	head := p.str("head", "0") != "0"
	return func(x *Exchange) error {
		if _, err := x.ReadBody(); err != nil {
			return err
		}
		if head {
			if err := x.Head(http.StatusOK, Chunked, 0, plainText); err != nil {
				return err
			}
		}
		x.Then(Hang)
		return errEnded
	}, nil
}
