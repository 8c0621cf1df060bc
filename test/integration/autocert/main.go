// Gets a certificate as derper does, with Go's autocert, from the ACME server of a test, and leaves the folder that derper would
// leave. Arguments: the ACME directory, the folder, the host name, and the address at which the server validates TLS-ALPN-01.
package main

import (
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"

	"golang.org/x/crypto/acme"
	"golang.org/x/crypto/acme/autocert"
)

// located names the order in answers to its finalization: autocert expects that, and Pebble leaves it out.
type located struct{ next http.RoundTripper }

func (l located) RoundTrip(request *http.Request) (*http.Response, error) {
	response, err := l.next.RoundTrip(request)
	if err == nil && strings.Contains(request.URL.Path, "/finalize-order/") {
		response.Header.Set("Location", strings.Replace(request.URL.String(), "/finalize-order/", "/my-order/", 1))
	}
	return response, err
}

func main() {
	directory, folder, host, address := os.Args[1], os.Args[2], os.Args[3], os.Args[4]
	// The ACME server's own certificate is the test's.
	transport := located{&http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
	manager := &autocert.Manager{
		Prompt:     autocert.AcceptTOS,
		HostPolicy: autocert.HostWhitelist(host),
		Cache:      autocert.DirCache(folder),
		Client:     &acme.Client{DirectoryURL: directory, HTTPClient: &http.Client{Transport: transport}},
	}
	listener, err := net.Listen("tcp", address)
	if err != nil {
		panic(err)
	}
	go http.Serve(tls.NewListener(listener, manager.TLSConfig()), nil)
	// As the first client with ECDSA would ask.
	hello := &tls.ClientHelloInfo{
		ServerName:       host,
		CipherSuites:     []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256},
		SignatureSchemes: []tls.SignatureScheme{tls.ECDSAWithP256AndSHA256},
		SupportedCurves:  []tls.CurveID{tls.CurveP256},
	}
	certificate, err := manager.GetCertificate(hello)
	if err != nil {
		panic(err)
	}
	fmt.Printf("%x\n", certificate.Leaf.SerialNumber)
}
