"""The perceptual loss against a hand-made network, and its missing weights."""

from __future__ import annotations

import http.server
import threading

import pytest
import torch
import torch.nn.functional as F
from edgedeblur.models.training.objective.perceptual import (
    PerceptualLoss,
    find_vgg,
    load_vgg,
    vgg_features,
)


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """A file with torchvision's names; layers behind conv3_3 and the classifier are there too."""
    torch.manual_seed(0)
    state = {f"features.{name}": t for name, t in vgg_features().state_dict().items()}
    state["features.16.weight"] = torch.zeros(256, 256, 3, 3)
    state["classifier.0.weight"] = torch.zeros(2, 2)
    path = tmp_path_factory.mktemp("vgg") / "vgg19.pth"
    torch.save(state, path)
    return path


def test_it_is_torchvisions_order_of_layers():
    names = [name for name, _ in vgg_features().named_parameters() if name.endswith("weight")]
    assert names == [f"{i}.weight" for i in (0, 2, 5, 7, 10, 12, 14)]


def test_the_loss_spelled_out(weights):
    loss = PerceptualLoss(weights)
    torch.manual_seed(1)
    restored, sharp = torch.rand(1, 3, 32, 32) * 2 - 1, torch.rand(1, 3, 32, 32) * 2 - 1
    state = torch.load(weights, weights_only=True)

    def features(image):
        mean = torch.tensor([0.485, 0.456, 0.406]).reshape(1, 3, 1, 1)
        std = torch.tensor([0.229, 0.224, 0.225]).reshape(1, 3, 1, 1)
        image = ((image + 1) / 2 - mean) / std
        for index in (0, 2, 5, 7, 10, 12, 14):
            weight, bias = state[f"features.{index}.weight"], state[f"features.{index}.bias"]
            image = F.relu(F.conv2d(image, weight, bias, padding=1))
            if index in (2, 7):
                image = F.max_pool2d(image, 2)
        return image

    expected = ((features(restored) - features(sharp)) ** 2).mean()
    assert float(loss(restored, sharp)) == pytest.approx(float(expected), rel=1e-5)
    assert features(sharp).shape == (1, 256, 8, 8)


def test_only_the_restored_picture_gets_a_gradient(weights):
    restored = torch.zeros(1, 3, 32, 32, requires_grad=True)
    sharp = torch.ones(1, 3, 32, 32, requires_grad=True)
    PerceptualLoss(weights)(restored, sharp).backward()
    assert float(restored.grad.abs().sum()) > 0
    assert sharp.grad is None


def test_absent_weights_name_both_ways_out(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"--vgg download.*loss\.perceptual=0"):
        load_vgg(tmp_path / "vgg19.pth")


def test_other_weights_are_refused(tmp_path):
    path = tmp_path / "other.pth"
    torch.save({"features.0.weight": torch.zeros(64, 3, 3, 3)}, path)
    with pytest.raises(ValueError, match=r"other\.pth: not torchvision's VGG19 weights"):
        load_vgg(path)
    path.write_bytes(b"<html>")
    with pytest.raises(ValueError, match=r"other\.pth: not torchvision's VGG19 weights"):
        load_vgg(path)


def test_a_download_that_is_not_the_pinned_file_is_refused(tmp_path, monkeypatch):
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"something else")

        def log_message(self, *args):
            pass

    monkeypatch.setenv("EDGEDEBLUR_CACHE", str(tmp_path))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        address = f"http://127.0.0.1:{server.server_port}/vgg.pth"
        with pytest.raises(OSError, match=r"could not download vgg19-dcbb9e9d\.pth.*hash"):
            find_vgg("download", address=address)
    finally:
        server.shutdown()
        server.server_close()
    assert not list(tmp_path.glob("*.pth"))
