"""A plugin of buf that has grpcio-tools write the messages, their types and the gRPC classes: grpcio ships no plugin of its own."""

import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from google.protobuf.compiler.plugin_pb2 import CodeGeneratorRequest, CodeGeneratorResponse
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from grpc_tools import protoc

request = CodeGeneratorRequest.FromString(sys.stdin.buffer.read())
with TemporaryDirectory() as home:
    descriptors, out = Path(home, "descriptors"), Path(home, "out")
    descriptors.write_bytes(FileDescriptorSet(file=request.proto_file).SerializeToString())
    out.mkdir()
    writers = [f"--{writer}_out={out}" for writer in ("python", "pyi", "grpc_python")]
    status = protoc.main(["protoc", f"--descriptor_set_in={descriptors}", *writers, *request.file_to_generate])
    response = CodeGeneratorResponse(
        error=f"grpc_tools.protoc ended with {status}" if status else None,
        supported_features=CodeGeneratorResponse.FEATURE_PROTO3_OPTIONAL,
    )
    for path in sorted(path for path in out.rglob("*") if path.is_file()):
        response.file.add(name=path.relative_to(out).as_posix(), content=path.read_text())
sys.stdout.buffer.write(response.SerializeToString())
