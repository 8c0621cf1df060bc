// A generator of logins as Tailscale's clients make them: by Go's TLS, which offers the hybrid group X25519MLKEM768
// beside X25519. It is not the load generator in C (../generator), which offers X25519 alone and carries packets as well.
// Prints one JSON line on standard output, whose fields mean what they mean in that generator's phase `fresh`, and the
// key exchange group that the server took. Reasons of failed logins go to standard error.
package main

import (
	"crypto/tls"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// Below the 28,232 ephemeral ports that Linux has by default for one source address.
	holdMax = 20_000
	// Further failures are counted, but not logged.
	failuresLoggedMax = 5
)

type options struct {
	address, logins                string
	pid, hold, inFlight, loginFrom int
	settleSeconds                  float64
}

type outcome struct {
	Event  string `json:"event"`
	Open   int    `json:"open"`
	Failed int    `json:"failed"`
	// From the first dial to the last login, and the server's CPU time meanwhile.
	Seconds          float64 `json:"seconds"`
	ServerCPUSeconds float64 `json:"serverCpuSeconds"`
	// All that were taken, if there are several; empty if no login succeeded.
	Group string `json:"group"`
}

func fail(format string, values ...any) {
	fmt.Fprintf(os.Stderr, "go-logins: "+format+"\n", values...)
	os.Exit(1)
}

func readOptions() options {
	var read options
	flag.StringVar(&read.address, "addr", "", "the server; an IPv4 address, a colon and a port")
	flag.StringVar(&read.logins, "logins", "", "prepared logins for the server (bench/load/login-file.ts)")
	flag.IntVar(&read.pid, "pid", 0, "report CPU time of the server process")
	flag.IntVar(&read.hold, "hold", 0, "log in so many clients, and keep them until all are done")
	flag.IntVar(&read.loginFrom, "login-from", 0, "use the logins from that number on")
	flag.IntVar(&read.inFlight, "in-flight", 64, "logins in progress at a time")
	flag.Float64Var(&read.settleSeconds, "settle", 2, "seconds to wait before and after the clients leave")
	flag.Parse()
	if read.address == "" || read.logins == "" {
		fail("--addr HOST:PORT and --logins FILE are required")
	}
	if read.hold < 1 || read.hold > holdMax {
		fail("--hold %d: expected 1 to %d", read.hold, holdMax)
	}
	if read.loginFrom < 0 {
		fail("--login-from %d: expected a number from 0", read.loginFrom)
	}
	if read.inFlight < 1 {
		fail("--in-flight %d: expected a number above 0", read.inFlight)
	}
	return read
}

// logInAll keeps so many logins in progress until there is a result for each.
func logInAll(to server, logins []login, inFlight int) []result {
	results := make([]result, len(logins))
	var next atomic.Int64
	var workers sync.WaitGroup
	for range min(inFlight, len(logins)) {
		workers.Go(func() {
			for i := int(next.Add(1)) - 1; i < len(logins); i = int(next.Add(1)) - 1 {
				results[i] = to.logIn(logins[i])
			}
		})
	}
	workers.Wait()
	return results
}

func summaryOf(results []result) outcome {
	summary := outcome{Event: "go-logins"}
	taken := map[tls.CurveID]bool{}
	for i, one := range results {
		if one.err == nil {
			summary.Open++
			taken[one.group] = true
			continue
		}
		if summary.Failed < failuresLoggedMax {
			fmt.Fprintf(os.Stderr, "go-logins: login %d failed: %v\n", i, one.err)
		}
		summary.Failed++
	}
	var names []string
	for group := range taken {
		names = append(names, group.String())
	}
	slices.Sort(names)
	summary.Group = strings.Join(names, " and ")
	return summary
}

func main() {
	// Also on a machine that gives it more processors: one is the generator's.
	runtime.GOMAXPROCS(1)
	options := readOptions()
	file, err := readLoginFile(options.logins, options.loginFrom, options.hold)
	if err != nil {
		fail("--logins %s: %v", options.logins, err)
	}
	to := server{address: options.address, key: file.serverKey}
	start, before := time.Now(), cpuSeconds(options.pid)
	results := logInAll(to, file.logins, options.inFlight)
	seconds, used := time.Since(start).Seconds(), cpuSeconds(options.pid)-before
	summary := summaryOf(results)
	summary.Seconds, summary.ServerCPUSeconds = seconds, used
	for _, one := range results {
		if one.err == errOtherKey {
			fail("%v", errOtherKey)
		}
	}
	if err := json.NewEncoder(os.Stdout).Encode(summary); err != nil {
		fail("standard output: %v", err)
	}
	// The ends of these clients cost the server time, which is not that of another program's logins.
	settle := time.Duration(options.settleSeconds * float64(time.Second))
	time.Sleep(settle)
	for _, one := range results {
		one.leave()
	}
	time.Sleep(settle)
}
