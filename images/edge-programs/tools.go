//go:build tools

// Package tools pins the programs this module exists to build.
package tools

import (
	_ "github.com/go-acme/lego/v4/cmd/lego"
	_ "github.com/traefik/traefik/v3/cmd/traefik"
)
