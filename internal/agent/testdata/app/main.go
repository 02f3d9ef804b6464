// App is the program inside the test images of package agent: it says what a
// task sees of its role, its metadata and the control plane, then waits for
// SIGTERM.
package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/signal"
	"syscall"
)

func get(url string, into any) int {
	req, err := http.NewRequest("GET", url, nil)
	if err != nil {
		fmt.Println("error:", err)
		return 0
	}
	req.Header.Set("Authorization", os.Getenv("AWS_CONTAINER_AUTHORIZATION_TOKEN"))
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		fmt.Println("error:", err)
		return 0
	}
	defer resp.Body.Close()
	b, _ := io.ReadAll(resp.Body)
	if into != nil {
		if err := json.Unmarshal(b, into); err != nil {
			fmt.Println("error:", err, string(b))
		}
	}
	return resp.StatusCode
}

func main() {
	term := make(chan os.Signal, 1)
	signal.Notify(term, syscall.SIGTERM)
	var creds struct{ RoleArn string }
	uri := os.Getenv("AWS_CONTAINER_CREDENTIALS_FULL_URI")
	if uri == "" {
		uri = "http://169.254.170.2" + os.Getenv("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI")
	}
	get(uri, &creds)
	fmt.Println("role:", creds.RoleArn)
	var task struct{ TaskARN string }
	get(os.Getenv("ECS_CONTAINER_METADATA_URI_V4")+"/task", &task)
	fmt.Println("task:", task.TaskARN)
	fmt.Println("control plane:", get(os.Getenv("AWS_ENDPOINT_URL")+"/v2/", nil))
	hostname, _ := os.Hostname()
	file, _ := os.ReadFile("/etc/hostname")
	fmt.Println("hostname:", hostname, hostname+"\n" == string(file))
	if listen := os.Getenv("LISTEN"); listen != "" {
		go http.ListenAndServe(listen, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			io.WriteString(w, "hello from the task")
		}))
	}
	fmt.Println("ready")
	<-term
	fmt.Println("bye")
	os.Exit(3)
}
