// A control server for tests that gives clients the whole DERP map, scores included: Tailscale's own, without accounts. Argument:
// the address to listen on. PUT /derpmap sets the map, in Tailscale's JSON, and tells all clients.
package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"

	"tailscale.com/tailcfg"
	"tailscale.com/tstest/integration/testcontrol"
)

const mapBytesMax = 1 << 20

func main() {
	address := os.Args[1]
	control := &testcontrol.Server{
		DERPMap:         &tailcfg.DERPMap{Regions: map[int]*tailcfg.DERPRegion{}},
		ExplicitBaseURL: "http://" + address,
		Logf:            func(string, ...any) {},
	}
	pages := http.NewServeMux()
	pages.Handle("/", control)
	pages.HandleFunc("PUT /derpmap", func(response http.ResponseWriter, request *http.Request) {
		derpMap := &tailcfg.DERPMap{}
		body, err := io.ReadAll(io.LimitReader(request.Body, mapBytesMax))
		if err == nil {
			err = json.Unmarshal(body, derpMap)
		}
		if err != nil {
			http.Error(response, err.Error(), http.StatusBadRequest)
			return
		}
		// A map without scores resets those of the map before it; absent parameters would leave them.
		if derpMap.HomeParams == nil {
			derpMap.HomeParams = &tailcfg.DERPHomeParams{RegionScore: map[int]float64{}}
		}
		control.DERPMap = derpMap
		// Nothing of it changes, but it is the way to tell all clients at once.
		control.SetSSHPolicy(nil)
	})
	listener, err := net.Listen("tcp", address)
	if err != nil {
		panic(err)
	}
	fmt.Println("listening")
	panic(http.Serve(listener, pages))
}
