//go:build tools

// Package tools pins the program this module exists to build.
package tools

import _ "github.com/traefik/traefik/v3/cmd/traefik"
