// A provider for Terraform that has a schema and nothing behind it: enough for `validate` and for tests with mocked
// resources. It is not the real provider: it checks no value and no conflict. The schema is in the file beside the program
// with its name and .json; test/deploy/provider-schemas/ says where each is from.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"

	"github.com/hashicorp/terraform-plugin-go/tfprotov6"
	"github.com/hashicorp/terraform-plugin-go/tfprotov6/tf6server"
	"github.com/hashicorp/terraform-plugin-go/tftypes"
)

type attribute struct {
	Type     json.RawMessage
	Required bool
	Optional bool
	Computed bool
	// A nested attribute instead of a type.
	Nesting string
	Object  map[string]attribute
}

type block struct {
	Attributes map[string]attribute
	Blocks     map[string]nested
}

type nested struct {
	Nesting string
	Min     int64
	Block   block
}

type provider struct {
	Address   string
	Provider  block
	Resources map[string]block
}

var nestings = map[string]tfprotov6.SchemaNestedBlockNestingMode{
	"list":   tfprotov6.SchemaNestedBlockNestingModeList,
	"set":    tfprotov6.SchemaNestedBlockNestingModeSet,
	"single": tfprotov6.SchemaNestedBlockNestingModeSingle,
}

var objectNestings = map[string]tfprotov6.SchemaObjectNestingMode{
	"list":   tfprotov6.SchemaObjectNestingModeList,
	"set":    tfprotov6.SchemaObjectNestingModeSet,
	"single": tfprotov6.SchemaObjectNestingModeSingle,
}

func attributes(all map[string]attribute) []*tfprotov6.SchemaAttribute {
	var found []*tfprotov6.SchemaAttribute
	for name, one := range all {
		made := &tfprotov6.SchemaAttribute{Name: name, Required: one.Required, Optional: one.Optional, Computed: one.Computed}
		if one.Nesting != "" {
			made.NestedType = &tfprotov6.SchemaObject{Nesting: objectNestings[one.Nesting], Attributes: attributes(one.Object)}
		} else {
			kind, err := tftypes.ParseJSONType(one.Type)
			if err != nil {
				panic(fmt.Sprintf("%s: %v", name, err))
			}
			made.Type = kind
		}
		found = append(found, made)
	}
	return found
}

func schemaBlock(from block) *tfprotov6.SchemaBlock {
	made := &tfprotov6.SchemaBlock{Attributes: attributes(from.Attributes)}
	for name, one := range from.Blocks {
		made.BlockTypes = append(made.BlockTypes, &tfprotov6.SchemaNestedBlock{
			TypeName: name, Nesting: nestings[one.Nesting], MinItems: one.Min, Block: schemaBlock(one.Block),
		})
	}
	return made
}

// Only what Terraform asks for mocked resources is answered. The rest is the interface's nil, which ends the program.
type server struct {
	tfprotov6.ProviderServer
	schema provider
}

func (s server) GetMetadata(context.Context, *tfprotov6.GetMetadataRequest) (*tfprotov6.GetMetadataResponse, error) {
	response := &tfprotov6.GetMetadataResponse{}
	for name := range s.schema.Resources {
		response.Resources = append(response.Resources, tfprotov6.ResourceMetadata{TypeName: name})
	}
	return response, nil
}

func (s server) GetProviderSchema(context.Context, *tfprotov6.GetProviderSchemaRequest) (*tfprotov6.GetProviderSchemaResponse, error) {
	resources := map[string]*tfprotov6.Schema{}
	for name, one := range s.schema.Resources {
		resources[name] = &tfprotov6.Schema{Block: schemaBlock(one)}
	}
	return &tfprotov6.GetProviderSchemaResponse{
		Provider:        &tfprotov6.Schema{Block: schemaBlock(s.schema.Provider)},
		ResourceSchemas: resources,
	}, nil
}

func (s server) ValidateProviderConfig(_ context.Context, asked *tfprotov6.ValidateProviderConfigRequest) (*tfprotov6.ValidateProviderConfigResponse, error) {
	return &tfprotov6.ValidateProviderConfigResponse{PreparedConfig: asked.Config}, nil
}

func (s server) ValidateResourceConfig(context.Context, *tfprotov6.ValidateResourceConfigRequest) (*tfprotov6.ValidateResourceConfigResponse, error) {
	return &tfprotov6.ValidateResourceConfigResponse{}, nil
}

// OpenTofu reads the state of mocked resources through the provider, Terraform does not.
func (s server) UpgradeResourceState(_ context.Context, asked *tfprotov6.UpgradeResourceStateRequest) (*tfprotov6.UpgradeResourceStateResponse, error) {
	kind := (&tfprotov6.Schema{Block: schemaBlock(s.schema.Resources[asked.TypeName])}).ValueType()
	state, err := asked.RawState.Unmarshal(kind)
	if err != nil {
		return nil, err
	}
	value, err := tfprotov6.NewDynamicValue(kind, state)
	if err != nil {
		return nil, err
	}
	return &tfprotov6.UpgradeResourceStateResponse{UpgradedState: &value}, nil
}

func (s server) StopProvider(context.Context, *tfprotov6.StopProviderRequest) (*tfprotov6.StopProviderResponse, error) {
	return &tfprotov6.StopProviderResponse{}, nil
}

func main() {
	program, err := os.Executable()
	if err != nil {
		panic(err)
	}
	text, err := os.ReadFile(program + ".json")
	if err != nil {
		panic(err)
	}
	var schema provider
	if err := json.Unmarshal(text, &schema); err != nil {
		panic(err)
	}
	serve := func() tfprotov6.ProviderServer { return server{schema: schema} }
	if err := tf6server.Serve(schema.Address, serve); err != nil {
		panic(err)
	}
}
