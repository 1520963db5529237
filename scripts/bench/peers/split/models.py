"""The model of src/models, in PyTorch's own idiom: fused query/key/value, its attention kernel, fused AdamW."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

HEADS = 4
PIECE = 16  # numbers per patch: a 4x4 grey one
CLASSES = 10
RATE = 1e-3
GELU = 1.702


class Block(nn.Module):
    """A pre-norm transformer block, [B, T, W] -> [B, T, W]; hidden width 2W, no bias on query, key and value."""

    def __init__(self, width: int, layers: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.out = nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, 2 * width), nn.Linear(2 * width, width)
        for linear in (self.out, self.down):  # residual outputs start smaller the deeper the trunk is
            nn.init.normal_(linear.weight, std=(linear.in_features * 2 * layers) ** -0.5)

    def forward(self, x: Tensor) -> Tensor:
        batch, tokens, width = x.shape
        query, key, value = self.qkv(self.norm1(x)).view(batch, tokens, 3, HEADS, width // HEADS).permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(query, key, value).transpose(1, 2).reshape(batch, tokens, width)
        x = x + self.out(mixed)
        # x * sigmoid(1.702 x), as one fused SiLU between two scalings instead of three pointwise kernels.
        return x + self.down(F.silu(self.up(self.norm2(x)) * GELU) * (1 / GELU))


class Trunk(nn.Sequential):
    """The server's part: `layers` blocks and a closing LayerNorm."""

    def __init__(self, width: int, layers: int) -> None:
        super().__init__(*(Block(width, layers) for _ in range(layers)), nn.LayerNorm(width))


class Embedder(nn.Module):
    """Patches [B, T, 16] -> activations [B, T, W]: one linear layer and learned positions."""

    def __init__(self, width: int, tokens: int) -> None:
        super().__init__()
        self.linear = nn.Linear(PIECE, width)
        self.positions = nn.Parameter(torch.randn(tokens, width) * 0.3)

    def forward(self, pieces: Tensor) -> Tensor:
        return self.linear(pieces) + self.positions


class Head(nn.Module):
    """Features [B, T, W] -> class scores [B, 10], read through one learned query."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.query = nn.Parameter(torch.randn(width) * 0.1)
        self.readout = nn.Linear(width, CLASSES)

    def forward(self, features: Tensor) -> Tensor:
        weights = torch.softmax(features @ self.query, dim=1)
        return self.readout((weights.unsqueeze(1) @ features).squeeze(1))


def adamw(parameters: list[nn.Parameter]) -> torch.optim.Optimizer:
    """PyTorch's fastest AdamW for the CPU."""
    return torch.optim.AdamW(parameters, lr=RATE, fused=True)


def batches(job, client: int, count: int = 8) -> list[tuple[Tensor, Tensor]]:
    """A few fixed batches of learnable noise: a class is a direction, the same for every client."""
    directions = torch.randn(CLASSES, job.tokens, PIECE, generator=torch.Generator().manual_seed(job.seed))
    generator = torch.Generator().manual_seed(job.seed + 1 + client)
    made = []
    for _ in range(count):
        labels = torch.randint(CLASSES, (job.batch,), generator=generator)
        noise = torch.randn(job.batch, job.tokens, PIECE, generator=generator)
        made.append((noise + directions[labels], labels))
    return made


def prepare(job, client: int | None) -> None:
    """Threads and start values of this process. Those of a part (None: the trunk) are the same for every transport."""
    torch.set_num_threads(job.threads if client is None or job.transport == 'none' else job.client_threads)
    torch.manual_seed(job.seed + (0 if client is None else 100 + client))


def parameter_count(module: nn.Module) -> int:
    """Trainable numbers."""
    return sum(parameter.numel() for parameter in module.parameters())
