// Command app does what its argument says: exit with a status, or wait to be
// stopped.
package main

import (
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"syscall"
)

func main() {
	if os.Args[1] == "wait" {
		stop := make(chan os.Signal, 1)
		signal.Notify(stop, syscall.SIGTERM)
		fmt.Println("waiting")
		<-stop
		return
	}
	status, err := strconv.Atoi(os.Args[1])
	if err != nil {
		panic(err)
	}
	os.Exit(status)
}
