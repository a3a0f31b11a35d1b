// Compose-check reads compose files as `docker compose config` does, without an engine: the schema, the variables, the references
// between services, volumes and networks. It prints, as JSON, what the tests look into: for each service the image, the command, the
// files and folders of the host that it mounts, its ports and limits.
//
//	compose-check FILE...
//	compose-check --yaml FILE     any YAML file as a JSON array of its documents; a key that stands twice is an error
//
// Exit code 1 with a message if a file is not valid.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/compose-spec/compose-go/v2/cli"
	"github.com/compose-spec/compose-go/v2/types"
	"go.yaml.in/yaml/v4"
)

type mount struct {
	Source string `json:"source"`
	Target string `json:"target"`
}

type port struct {
	HostIP    string `json:"host_ip"`
	Published string `json:"published"`
	Target    uint32 `json:"target"`
}

type service struct {
	Name       string            `json:"name"`
	Image      string            `json:"image,omitempty"`
	Context    string            `json:"context,omitempty"`
	Dockerfile string            `json:"dockerfile,omitempty"`
	Entrypoint []string          `json:"entrypoint,omitempty"`
	Command    []string          `json:"command,omitempty"`
	Mounts     []mount           `json:"mounts,omitempty"`
	Env        map[string]string `json:"environment,omitempty"`
	Health     bool              `json:"healthcheck"`
	DependsOn  []string          `json:"depends_on,omitempty"`
	Ports      []port            `json:"ports,omitempty"`
	Restart    string            `json:"restart,omitempty"`
	Memory     int64             `json:"memory_bytes,omitempty"`
	GraceMs    int64             `json:"stop_grace_ms,omitempty"`
}

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "compose-check:", err)
		os.Exit(1)
	}
}

func run(arguments []string) error {
	if len(arguments) == 2 && arguments[0] == "--yaml" {
		return documents(arguments[1])
	}
	return compose(arguments)
}

func documents(file string) error {
	reader, err := os.Open(file)
	if err != nil {
		return err
	}
	defer reader.Close()
	decoder := yaml.NewDecoder(reader)
	all := []any{}
	for {
		var document any
		err := decoder.Decode(&document)
		if errors.Is(err, io.EOF) {
			return json.NewEncoder(os.Stdout).Encode(all)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
		all = append(all, document)
	}
}

func compose(files []string) error {
	// Every profile, so that no service is left out; nothing of the caller's environment, so that the defaults in the file must do.
	options, err := cli.NewProjectOptions(files, cli.WithInterpolation(true), cli.WithProfiles([]string{"*"}))
	if err != nil {
		return err
	}
	project, err := options.LoadProject(context.Background())
	if err != nil {
		return err
	}
	var services []service
	for _, name := range project.ServiceNames() {
		services = append(services, describe(project.Services[name]))
	}
	return json.NewEncoder(os.Stdout).Encode(services)
}

func describe(config types.ServiceConfig) service {
	out := service{
		Name:       config.Name,
		Image:      config.Image,
		Entrypoint: config.Entrypoint,
		Command:    config.Command,
		Health:     config.HealthCheck != nil,
		DependsOn:  config.GetDependencies(),
		Restart:    config.Restart,
		Memory:     int64(config.MemLimit),
		Env:        map[string]string{},
	}
	if config.StopGracePeriod != nil {
		out.GraceMs = time.Duration(*config.StopGracePeriod).Milliseconds()
	}
	for _, config := range config.Ports {
		out.Ports = append(out.Ports, port{config.HostIP, config.Published, config.Target})
	}
	if config.Build != nil {
		out.Context, out.Dockerfile = config.Build.Context, config.Build.Dockerfile
	}
	for _, volume := range config.Volumes {
		if volume.Type == types.VolumeTypeBind {
			out.Mounts = append(out.Mounts, mount{volume.Source, volume.Target})
		}
	}
	for name, value := range config.Environment {
		if value != nil {
			out.Env[name] = *value
		}
	}
	return out
}
