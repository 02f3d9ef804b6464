package supervisor

import (
	"bytes"
	"io"
	"os"
	"sync"
	"time"

	"github.com/remit-ecs/remit/internal/agent/runtime"
)

// output is the two pipes of a container and what reads them. Pipes rather
// than files: a slow reader slows the writer, and nothing is left on disk.
type output struct {
	stdout, stderr *os.File // the container's ends
	readers        []*os.File
	done           chan struct{}
}

func newOutput(sink runtime.LogSink) (*output, error) {
	outR, outW, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	errR, errW, err := os.Pipe()
	if err != nil {
		outR.Close()
		outW.Close()
		return nil, err
	}
	o := &output{stdout: outW, stderr: errW, readers: []*os.File{outR, errR}, done: make(chan struct{})}
	var wg sync.WaitGroup
	for stream, r := range map[runtime.Stream]*os.File{runtime.Stdout: outR, runtime.Stderr: errR} {
		wg.Go(func() {
			if sink == nil {
				io.Copy(io.Discard, r)
			} else {
				Lines(r, func(line []byte) { sink.Line(stream, time.Now(), line) })
			}
			r.Close()
		})
	}
	go func() {
		wg.Wait()
		close(o.done)
	}()
	return o, nil
}

// started closes this process's copies of the container's ends, so that the
// readers see the end when the container does.
func (o *output) started() {
	o.stdout.Close()
	o.stderr.Close()
}

// drain waits until everything written has been handed to the sink. A pipe
// somebody else still holds is given up after most; a slow sink is not, since
// what has been read is still delivered.
func (o *output) drain(most time.Duration) {
	select {
	case <-o.done:
		return
	case <-time.After(most):
	}
	for _, r := range o.readers {
		r.SetReadDeadline(time.Now())
	}
	<-o.done
}

// Lines calls f with each line read from r, without its newline. A line
// longer than runtime.MaxLine comes in pieces of that size; a last line
// without newline counts; memory is bounded by one line. The slice is valid
// during the call.
func Lines(r io.Reader, f func(line []byte)) error {
	buf := make([]byte, 0, 4096)
	for {
		if len(buf) == cap(buf) {
			grown := make([]byte, len(buf), min(2*cap(buf), runtime.MaxLine+1))
			copy(grown, buf)
			buf = grown
		}
		n, err := r.Read(buf[len(buf):cap(buf)])
		seen := len(buf)
		buf = buf[:seen+n]
		start := 0
		for {
			i := bytes.IndexByte(buf[max(seen, start):], '\n')
			if i < 0 {
				break
			}
			end := max(seen, start) + i
			f(buf[start:end])
			start = end + 1
		}
		// One byte more than the limit, so that a line of exactly the limit
		// is seen with its newline and not cut.
		if len(buf)-start > runtime.MaxLine {
			f(buf[start : start+runtime.MaxLine])
			start += runtime.MaxLine
		}
		buf = buf[:copy(buf, buf[start:])]
		if err != nil {
			if len(buf) > 0 {
				f(buf)
			}
			if err == io.EOF {
				err = nil
			}
			return err
		}
	}
}
