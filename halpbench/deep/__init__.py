"""HALP and its kin as PyTorch optimizers, for any ``nn.Module``.

Needs the extra ``halpbench[deep]``; nothing else in the package imports torch.
"""

from halpbench.deep.optimizers import HALP, LPSGD, LPSVRG, SVRG

__all__ = ["HALP", "LPSGD", "LPSVRG", "SVRG"]
