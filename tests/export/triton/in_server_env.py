"""Runs in the environment that has Triton's client: parses configurations, and asks a server.

``parse REPOSITORY``: every config.pbtxt by Triton's own schema, as JSON.
``ask HTTP GRPC MODEL``: reads requests from standard input as JSON, ``[{path, format, quality}]``,
and prints for each the answers by HTTP and gRPC, base64, or ``error: ...``.
"""

import base64
import json
import sys
from pathlib import Path


def parse(repository):
    from google.protobuf import json_format, text_format
    from tritonclient.grpc import model_config_pb2

    found = {}
    for path in sorted(Path(repository).glob("*/config.pbtxt")):
        config = text_format.Parse(path.read_text(), model_config_pb2.ModelConfig())
        found[path.parent.name] = json_format.MessageToDict(
            config, preserving_proto_field_name=True
        )
    return found


def ask(http_address, grpc_address, model):
    import numpy as np
    import tritonclient.grpc
    import tritonclient.http
    from tritonclient.utils import InferenceServerException

    clients = {
        "http": (tritonclient.http, tritonclient.http.InferenceServerClient(http_address)),
        "grpc": (tritonclient.grpc, tritonclient.grpc.InferenceServerClient(grpc_address)),
    }

    def one(module, client, wanted):
        values = {"PICTURE": (np.array([Path(wanted["path"]).read_bytes()], np.object_), "BYTES")}
        if "format" in wanted:
            values["FORMAT"] = (np.array([wanted["format"].encode()], np.object_), "BYTES")
        if "quality" in wanted:
            values["QUALITY"] = (np.array([wanted["quality"]], np.int32), "INT32")
        inputs = []
        for name, (array, kind) in values.items():
            tensor = module.InferInput(name, [1], kind)
            tensor.set_data_from_numpy(array)
            inputs.append(tensor)
        try:
            result = client.infer(model, inputs).as_numpy("PICTURE")
        except InferenceServerException as error:
            return f"error: {error.message()}"
        return base64.b64encode(result[0]).decode()

    return [
        {name: one(module, client, wanted) for name, (module, client) in clients.items()}
        for wanted in json.load(sys.stdin)
    ]


if __name__ == "__main__":
    json.dump({"parse": parse, "ask": ask}[sys.argv[1]](*sys.argv[2:]), sys.stdout)
