// Compose-check reads compose files as `docker compose config` does, without an engine: the schema, the variables, the references
// between services, volumes and networks. It prints, as JSON, what the tests look into: for each service the image, the command and
// the files and folders of the host that it mounts.
//
//	compose-check FILE...
//
// Exit code 1 with a message if a file is not valid.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"

	"github.com/compose-spec/compose-go/v2/cli"
	"github.com/compose-spec/compose-go/v2/types"
)

type mount struct {
	Source string `json:"source"`
	Target string `json:"target"`
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
}

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "compose-check:", err)
		os.Exit(1)
	}
}

func run(files []string) error {
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
		Env:        map[string]string{},
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
