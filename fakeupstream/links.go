package fakeupstream

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
)

// linkBuiltins name the server's own host in absolute URLs.
var linkBuiltins = []builtin{
	{"/redirect", "a chain of n= (1) redirects with status= (302), to=relative|absolute|other, that ends in an echo", newRedirect},
	{"/links", "a page of pages= (3) as JSON, with an absolute Link to the others", newLinks},
}

// absolute returns the URL of a path of the server, by that of Options.Names that the request was for, if it was.
func (x *Exchange) absolute(path string) string {
	authority := x.rec.Get("Host")
	name, _, err := net.SplitHostPort(authority)
	if err != nil {
		name = authority
	}
	if !slices.Contains(x.c.s.opt.Names, name) {
		return x.c.s.URL + path
	}
	scheme, _, _ := strings.Cut(x.c.s.URL, ":")
	return scheme + "://" + authority + path
}

// newRedirect is /redirect.
func newRedirect(p params) (Behaviour, error) {
	n, err1 := p.num("n", 1)
	status, err2 := p.num("status", http.StatusFound)
	to, err3 := p.oneOf("to", "relative", "absolute", "other")
	if err := firstError(err1, err2, err3); err != nil {
		return nil, err
	}
	if status < 300 || status > 399 {
		return nil, errors.New("want a status from 300 to 399")
	}
	return func(x *Exchange) error {
		if n == 0 {
			return echo(x)
		}
		if _, err := x.ReadBody(); err != nil {
			return err
		}
		location := fmt.Sprintf("%s/redirect?n=%d&status=%d&to=%s", p.base, n-1, status, to)
		switch to {
		case "absolute":
			location = x.absolute(location)
		case "other":
			location = "https://somebody-else.test" + location
		}
		return x.Answer(int(status), fmt.Appendf(nil, "go to %s\n", location), plainText, Field{"Location", location})
	}, nil
}

// newLinks is /links.
func newLinks(p params) (Behaviour, error) {
	page, err1 := p.num("page", 1)
	pages, err2 := p.num("pages", 3)
	if err := firstError(err1, err2); err != nil {
		return nil, err
	}
	if page < 1 || page > pages {
		return nil, errors.New("there is no such page")
	}
	return func(x *Exchange) error {
		if _, err := x.ReadBody(); err != nil {
			return err
		}
		link := func(page int64, rel string) string {
			return fmt.Sprintf(`<%s/links?page=%d&pages=%d>; rel=%q`, x.absolute(p.base), page, pages, rel)
		}
		var links []string
		if page > 1 {
			links = append(links, link(page-1, "prev"))
		}
		if page < pages {
			links = append(links, link(page+1, "next"), link(pages, "last"))
		}
		return x.JSON(http.StatusOK, map[string]int64{"page": page, "pages": pages}, Field{"Link", strings.Join(links, ", ")})
	}, nil
}
