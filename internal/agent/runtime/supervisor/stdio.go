package supervisor

import (
	"io"
	"os"
	"sync"
	"time"

	"github.com/remit-ecs/remit/internal/agent/runtime"
)

// Stdio connects an ExecSpec's readers and writers to a process by pipes. The
// process gets real files, so that waiting for it never waits for a reader
// that has nothing to say.
type Stdio struct {
	// Stdin, Stdout and Stderr are the process's ends.
	Stdin, Stdout, Stderr *os.File

	in      *os.File
	readers []*os.File
	done    sync.WaitGroup
}

// NewStdio opens the pipes. Started and Finish must follow.
func NewStdio(spec runtime.ExecSpec) (_ *Stdio, err error) {
	s := &Stdio{}
	defer func() {
		if err != nil {
			s.Started()
			s.Finish()
		}
	}()
	if spec.Stdin == nil {
		if s.Stdin, err = os.Open(os.DevNull); err != nil {
			return nil, err
		}
	} else {
		if s.Stdin, s.in, err = os.Pipe(); err != nil {
			return nil, err
		}
		// Not waited for: it ends with the pipe or with the reader.
		go func() {
			io.Copy(s.in, spec.Stdin)
			s.in.Close()
		}()
	}
	if s.Stdout, err = s.output(spec.Stdout); err != nil {
		return nil, err
	}
	s.Stderr, err = s.output(spec.Stderr)
	return s, err
}

func (s *Stdio) output(w io.Writer) (*os.File, error) {
	if w == nil {
		return os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	}
	r, end, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	s.readers = append(s.readers, r)
	s.done.Go(func() {
		io.Copy(w, r)
		// Keep reading when the writer fails, so that the command does not
		// block on a pipe nobody empties.
		io.Copy(io.Discard, r)
	})
	return end, nil
}

// Started closes this process's copies of the process's ends. Call it once the
// process has started or failed to.
func (s *Stdio) Started() {
	for _, f := range []*os.File{s.Stdin, s.Stdout, s.Stderr} {
		if f != nil {
			f.Close()
		}
	}
}

// Finish waits for the last output and releases the pipes; something the
// command left running does not hold it up for more than a moment.
func (s *Stdio) Finish() {
	if s.in != nil {
		s.in.Close()
	}
	timer := time.AfterFunc(time.Second, func() {
		for _, r := range s.readers {
			r.SetReadDeadline(time.Now())
		}
	})
	s.done.Wait()
	timer.Stop()
	for _, r := range s.readers {
		r.Close()
	}
}

// ExitCode is the exit status of a process, 128 plus the signal's number if
// one ended it.
func ExitCode(ps *os.ProcessState) int {
	code, _ := exitStatus(ps)
	return code
}
