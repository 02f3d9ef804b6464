//go:build !linux

package runtimetest

func sharedNetwork(b *bed) { b.Skip("network namespaces are Linux's") }
