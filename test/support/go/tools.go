//go:build tools

// Package tools pins the programs this module exists to build.
package tools

import (
	_ "github.com/letsencrypt/pebble/v2/cmd/pebble"
	_ "github.com/letsencrypt/pebble/v2/cmd/pebble-challtestsrv"
	_ "github.com/versity/versitygw/cmd/versitygw"
)
