// A reverse proxy as Go's library has it, with its connection pool: TLS in front, a plain port behind.
// Usage: reverse-proxy ADDRESS CERTIFICATE KEY BACKEND
package main

import (
	"crypto/tls"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
)

func main() {
	backend, err := url.Parse(os.Args[4])
	if err != nil {
		log.Fatal(err)
	}
	listener, err := net.Listen("tcp", os.Args[1])
	if err != nil {
		log.Fatal(err)
	}
	server := &http.Server{
		Handler: httputil.NewSingleHostReverseProxy(backend),
		// DERP upgrades connections, which HTTP/2 has no way to.
		TLSNextProto: map[string]func(*http.Server, *tls.Conn, http.Handler){},
	}
	log.Printf("listening on %s", listener.Addr())
	log.Fatal(server.ServeTLS(listener, os.Args[2], os.Args[3]))
}
