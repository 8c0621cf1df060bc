// One login of a client: TCP, TLS 1.3, HTTP upgrade, ServerKey, ClientInfo, ServerInfo. As much is said as the generator
// in C says; only TLS is Go's own, with the groups and cipher suites that it offers by default.
package main

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"time"
)

const (
	// Tailscale's clients give up after this time.
	loginTimeout = 10 * time.Second
	// What a server may send until the login is complete: the longest frame that a client accepts.
	loginBytesMax = 1 << 20
	headLinesMax  = 100
	request       = "GET /derp HTTP/1.1\r\nHost: localhost\r\nUser-Agent: derpfleet-bench\r\n" +
		"Upgrade: DERP\r\nConnection: Upgrade\r\n\r\n"

	frameServerKey   = 1
	frameServerInfo  = 3
	frameHeaderBytes = 5
	keyMagicBytes    = 8
)

var errOtherKey = errors.New("the server's key differs from the key in the login file")

// A benchmark does not depend on the certificate's identity. TLS sessions are not resumed, as in Tailscale's clients.
var settings = &tls.Config{ServerName: "localhost", InsecureSkipVerify: true, MinVersion: tls.VersionTLS13}

type server struct {
	address string
	key     []byte
}

type result struct {
	connection net.Conn
	group      tls.CurveID
	err        error
}

// leave closes without notice to the server, as the generator in C does.
func (r result) leave() {
	if r.connection != nil {
		r.connection.Close()
	}
}

// logIn returns a connection that is logged in, or the reason why there is none.
func (s server) logIn(as login) result {
	deadline := time.Now().Add(loginTimeout)
	dialer := net.Dialer{Deadline: deadline}
	raw, err := dialer.Dial("tcp4", s.address)
	if err != nil {
		return result{err: err}
	}
	raw.SetDeadline(deadline)
	group, err := s.converse(raw, as)
	if err != nil {
		raw.Close()
		return result{err: err}
	}
	return result{connection: raw, group: group}
}

func (s server) converse(raw net.Conn, as login) (tls.CurveID, error) {
	connection := tls.Client(raw, settings)
	if err := connection.Handshake(); err != nil {
		return 0, fmt.Errorf("TLS handshake: %w", err)
	}
	if _, err := io.WriteString(connection, request); err != nil {
		return 0, fmt.Errorf("HTTP upgrade: %w", err)
	}
	reader := bufio.NewReader(io.LimitReader(connection, loginBytesMax))
	if err := readHead(reader); err != nil {
		return 0, fmt.Errorf("HTTP upgrade: %w", err)
	}
	kind, payload, err := readFrame(reader)
	if err != nil {
		return 0, fmt.Errorf("wait for ServerKey: %w", err)
	}
	if kind != frameServerKey || len(payload) < keyMagicBytes+keyBytes {
		return 0, errors.New("first frame is not a valid ServerKey")
	}
	if !bytes.Equal(payload[keyMagicBytes:keyMagicBytes+keyBytes], s.key) {
		return 0, errOtherKey
	}
	if _, err := connection.Write(as.frame); err != nil {
		return 0, fmt.Errorf("ClientInfo: %w", err)
	}
	// Its content is sealed for a private key that this program does not have: only the type can be checked.
	for kind != frameServerInfo {
		if kind, _, err = readFrame(reader); err != nil {
			return 0, fmt.Errorf("wait for ServerInfo: %w", err)
		}
	}
	return connection.ConnectionState().CurveID, nil
}

func readHead(reader *bufio.Reader) error {
	for line := range headLinesMax {
		text, err := reader.ReadSlice('\n')
		if err != nil {
			return err
		}
		if line == 0 && !bytes.HasPrefix(text, []byte("HTTP/1.1 101 ")) {
			return fmt.Errorf("status is not 101: %q", text)
		}
		if len(bytes.TrimRight(text, "\r\n")) == 0 {
			return nil
		}
	}
	return fmt.Errorf("more than %d header lines", headLinesMax)
}

func readFrame(reader *bufio.Reader) (kind byte, payload []byte, err error) {
	var header [frameHeaderBytes]byte
	if _, err = io.ReadFull(reader, header[:]); err != nil {
		return 0, nil, err
	}
	length := binary.BigEndian.Uint32(header[1:])
	if length > loginBytesMax {
		return 0, nil, errors.New("frame over 1 MiB")
	}
	payload = make([]byte, length)
	_, err = io.ReadFull(reader, payload)
	return header[0], payload, err
}
