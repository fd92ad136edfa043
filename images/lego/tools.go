//go:build tools

// Package tools pins the program this module exists to build.
package tools

import _ "github.com/go-acme/lego/v4/cmd/lego"
