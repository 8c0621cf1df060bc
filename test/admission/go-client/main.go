// derper's -verify-client-url with the same means: Go's HTTP client and encoding/json. Reads URLs, one per line, requests
// all of them at once, and prints one result per line in the same order.
package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"sync"
	"time"
)

func ask(url string, body []byte) string {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, "POST", url, bytes.NewReader(body))
	if err != nil {
		return "no request: " + err.Error()
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return "unreachable"
	}
	defer response.Body.Close()
	if response.StatusCode != 200 {
		return "refused"
	}
	var answer struct{ Allow bool }
	if json.NewDecoder(io.LimitReader(response.Body, 4<<10)).Decode(&answer) != nil || !answer.Allow {
		return "refused"
	}
	return "allowed"
}

func main() {
	var urls []string
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		urls = append(urls, lines.Text())
	}
	verdicts := make([]string, len(urls))
	var all sync.WaitGroup
	for at, url := range urls {
		all.Go(func() { verdicts[at] = ask(url, []byte(os.Args[1])) })
	}
	all.Wait()
	for _, verdict := range verdicts {
		fmt.Println(verdict)
	}
}
