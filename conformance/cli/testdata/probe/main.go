// Command probe is the only program of the tiny image that the scripts run as
// tasks.
package main

import (
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"syscall"
)

func main() {
	if len(os.Args) < 2 {
		os.Args = append(os.Args, "wait")
	}
	switch os.Args[1] {
	case "wait": // until it is asked to stop
		c := make(chan os.Signal, 1)
		signal.Notify(c, syscall.SIGTERM)
		fmt.Println("waiting")
		<-c
		fmt.Println("asked to stop")
	case "env": // print environment variables
		for _, name := range os.Args[2:] {
			fmt.Printf("%s=%s\n", name, os.Getenv(name))
		}
	case "exit": // end with a status
		n, err := strconv.Atoi(os.Args[2])
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(2)
		}
		os.Exit(n)
	default:
		fmt.Fprintf(os.Stderr, "probe: %q is none of wait, env, exit\n", os.Args[1])
		os.Exit(2)
	}
}
