// The file of prepared logins, which bench/load/login-file.ts writes. Its layout is in ../generator/login-file.h.
package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
)

const (
	loginFileMagic   = "DERPLOG1"
	keyBytes         = 32
	loginRecordBytes = 256
	// The frame is behind the client's public key and the frame's length.
	frameAt = keyBytes + 2
)

type loginFile struct {
	serverKey []byte
	logins    []login
}

// A login is the ClientInfo frame of a client, sealed for the server.
type login struct {
	frame []byte
}

// readLoginFile reads `count` logins of the file, from number `from` on.
func readLoginFile(path string, from, count int) (loginFile, error) {
	file, err := os.Open(path)
	if err != nil {
		return loginFile{}, err
	}
	defer file.Close()
	head := make([]byte, len(loginFileMagic)+keyBytes)
	if _, err := io.ReadFull(file, head); err != nil || string(head[:len(loginFileMagic)]) != loginFileMagic {
		return loginFile{}, errors.New("not a login file")
	}
	if _, err := file.Seek(int64(from)*loginRecordBytes, io.SeekCurrent); err != nil {
		return loginFile{}, err
	}
	records := make([]byte, count*loginRecordBytes)
	if read, err := io.ReadFull(file, records); err != nil {
		return loginFile{}, fmt.Errorf("the file has %d logins from number %d on, %d are needed", read/loginRecordBytes, from, count)
	}
	logins := make([]login, count)
	for i := range logins {
		record := records[i*loginRecordBytes : (i+1)*loginRecordBytes]
		length := int(binary.BigEndian.Uint16(record[keyBytes:frameAt]))
		if frameAt+length > loginRecordBytes {
			return loginFile{}, fmt.Errorf("the frame of login %d is too long", i)
		}
		logins[i].frame = record[frameAt : frameAt+length]
	}
	return loginFile{serverKey: head[len(loginFileMagic):], logins: logins}, nil
}
