// CPU time of the server process so far, as ../generator/server-stat.c reads it: user and system time of all threads, in
// steps of 10 ms.
package main

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
)

// USER_HZ: 100 on every architecture, whatever the kernel's own rate.
const ticksPerSecond = 100

// utime and stime in /proc/PID/stat, counted from the field behind the process's name.
const userField, systemField = 11, 12

// cpuSeconds returns 0 if pid is 0 or the process has ended.
func cpuSeconds(pid int) float64 {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if pid <= 0 || err != nil {
		return 0
	}
	// The name, in parentheses, may contain any character: the fields begin behind the last parenthesis.
	fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
	if len(fields) <= systemField {
		return 0
	}
	user, _ := strconv.ParseFloat(fields[userField], 64)
	system, _ := strconv.ParseFloat(fields[systemField], 64)
	return (user + system) / ticksPerSecond
}
