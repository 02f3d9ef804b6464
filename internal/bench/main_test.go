package bench

import (
	"flag"
	"fmt"
	"os"
	"testing"
)

// TestMain runs the measurements when they are asked for, as make bench does.
// Beside the tests of other packages they would measure those.
func TestMain(m *testing.M) {
	flag.Parse()
	if flag.Lookup("test.run").Value.String() == "" {
		fmt.Println("measurements are taken by themselves: make bench")
		return
	}
	os.Exit(m.Run())
}
