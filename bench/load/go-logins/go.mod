module go-logins

// As in the go.mod of Tailscale's client 1.102.5: Go takes from it which key exchange groups are offered by default.
go 1.26.6
