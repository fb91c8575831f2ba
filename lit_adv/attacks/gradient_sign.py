"""The gradient-sign family: one loop serves FGSM, SI-NI-TI-DIM and what came after.

The loop follows algorithm 2 of Lin et al. (ICLR 2020), whose steps the comments name. A named attack is a row of
:class:`lit_adv.attacks.settings.GradientSignSettings`, not a class; its parts, which combine, say how the surrogate is
shown the image (:mod:`lit_adv.attacks.views`), where the gradient is taken (:mod:`lit_adv.attacks.directions`), of
which loss (:mod:`lit_adv.attacks.losses`), how it passes back through the surrogate (:mod:`lit_adv.attacks.backward`),
and how the image moves (:mod:`lit_adv.attacks.updates`).
"""

from collections.abc import Callable, Sequence
from functools import cache

import torch
from torch import Tensor, nn

from lit_adv.attacks.base import SurrogateAttack, default_keys, require_gradients
from lit_adv.attacks.budget import parse_eps, project, random_start
from lit_adv.attacks.copies import copies_in_turn, drawn_copies, steps_until_copies_repeat
from lit_adv.attacks.directions import Run
from lit_adv.attacks.kernel import convolve, gaussian_kernel
from lit_adv.attacks.losses import Goal
from lit_adv.attacks.settings import BOUNDS, GradientSignSettings
from lit_adv.attacks.surrogates import check_surrogate, member_weights
from lit_adv.attacks.views import Moment, Scene, Transform
from lit_adv.attacks.views.base import ZERO, Copy


class GradientSignAttack(SurrogateAttack):
    """Any attack of the gradient-sign family on one surrogate; see :class:`SurrogateAttack` for the arguments.

    Raises:
        ValueError: If a setting or part is wrong, or the surrogate cannot be attacked so.
    """

    def __init__(self, model: nn.Module, settings: GradientSignSettings) -> None:
        super().__init__(model, settings, **BOUNDS)
        self.settings = settings
        if not 1 <= settings.copies_seen <= settings.copies:
            raise ValueError(f"copies_a_step is {settings.copies_seen}, but must be in [1, {settings.copies}]")
        self.eps = parse_eps(settings.eps)
        even = self.eps / settings.steps * settings.step_factor
        self.step_size = even if settings.step_size is None else parse_eps(settings.step_size, "step_size")
        self._kernel = gaussian_kernel(settings.kernel_size) if settings.kernel_size else None
        self._zero = ZERO[settings.scale_space]
        self._loss, self._direction, self._update = settings.loss_part, settings.direction_part, settings.update_part
        self._backward = settings.backward_part
        if self._loss.targeted_only and not self.targeted:
            raise ValueError(f"the loss {settings.loss!r} is for targeted attacks: set target")
        check_surrogate(model, settings)

    @property
    def passes(self) -> int:
        """See :attr:`GradientSignSettings.passes`."""
        return self.settings.passes

    def forward(
        self,
        images: Tensor,
        labels: Tensor,
        keys: Sequence[str] | None = None,
        true_labels: Tensor | None = None,
    ) -> Tensor:
        """Attack a batch; see :class:`lit_adv.attacks.Attack`.

        Args:
            images: Float [B, 3, H, W] in [0, 1].
            labels: int64 [B].
            keys: The samples' keys.
            true_labels: int64 [B].

        Returns:
            Float [B, 3, H, W] in [0, 1], within ``eps`` of ``images``.

        Raises:
            RuntimeError: Inside ``torch.inference_mode``.
            ValueError: If there is not one key for each image.
        """
        require_gradients()
        keys, settings = default_keys(images, keys), self.settings
        run = self._begin(images, labels, keys, true_labels)
        direction = self._direction.begin(run)
        update = self._update.begin(
            images, run.steps, settings.warm_up_steps, settings.momentum, settings.gradient_norm
        )
        start = random_start(images, self.eps, settings.seed, keys) if settings.random_start else images
        x, g = start, torch.zeros_like(images)
        for t in range(run.steps):
            warming_up = t < settings.warm_up_steps
            alpha = self.step_size * settings.warm_up_factor if warming_up else self.step_size
            x_nes = x + alpha * settings.momentum * g if settings.look_ahead else x  # eq. 6
            gradient = direction(x, x_nes, t)  # steps 6 to 9
            if self._kernel is not None:
                with torch.autocast(images.device.type, enabled=False):
                    gradient = convolve(gradient, self._kernel)  # step 10
            g, way = update(gradient, t)  # step 11, eq. 7
            x = project(x + alpha * way, images, self.eps)  # step 12, eq. 8
            if t + 1 == settings.warm_up_steps:
                x = start
        return x

    def _begin(self, images: Tensor, labels: Tensor, keys: Sequence[str], true_labels: Tensor | None = None) -> Run:
        """Find the goal, draw what is drawn in advance, and return what a direction needs."""
        settings = self.settings
        given = settings.target == "given"
        # Few parts ask, and it may take a pass.
        origin = cache(lambda: self._origin(images, true_labels if given else labels))
        goal = Goal(self.goal_labels(images, labels, keys), origin() if self._loss.targeted_only else None)
        steps = settings.warm_up_steps + settings.steps
        gradients, seen = self._direction.gradients, settings.copies_seen
        views = self._prepare_views(images, origin, keys, steps, gradients * seen)
        copies = self._choose_copies(images, keys, steps)
        period = steps_until_copies_repeat(settings.copies, seen, settings.copy_order)
        members = getattr(self.model, "members", [self.model])

        def gradient(point: Tensor, *, step: int, number: int, member: int | None = None) -> Tensor:
            model = self.model if member is None else members[member]
            moments = [(step, number * seen + i, own) for i, own in enumerate(copies[step])]
            return self._gradient(model, point, goal, views, moments)

        return Run(
            gradient=gradient,
            images=images,
            keys=keys,
            seed=settings.seed,
            eps=self.eps,
            step_size=self.step_size,
            steps=steps,
            period=period,
            varies=settings.varies,
            weights=member_weights(self.model),
        )

    def _origin(self, images: Tensor, true_labels: Tensor | None) -> Tensor:
        """Return the true classes, int64 [B]; predicted ones where they are not known."""
        if true_labels is not None:
            return true_labels
        with torch.no_grad():
            logits: Tensor = self.model(images)
        return logits.argmax(1)

    def _gradient(
        self,
        model: nn.Module,
        point: Tensor,
        goal: Goal,
        views: Sequence[Transform],
        moments: Sequence[tuple[int, int, tuple[Copy, ...]]],
    ) -> Tensor:
        """Average the gradient over copies, each shown through all views."""
        total = torch.zeros_like(point)
        zero = self._zero
        centered = point - zero if zero else point
        for step, slot, copies in moments:
            with torch.enable_grad():
                x = seen = centered.detach().requires_grad_()
                for view, copy in zip(views, copies, strict=True):
                    seen = view(seen, Moment(step, slot, copy))
                with self._backward.rule():
                    loss = self._loss(model, seen + zero if zero else seen, goal)
                total += torch.autograd.grad(loss, x)[0]
        return total / (-len(moments) if self.targeted else len(moments))

    def _prepare_views(
        self, images: Tensor, true_classes: Callable[[], Tensor], keys: Sequence[str], steps: int, slots: int
    ) -> list[Transform]:
        scenes = (
            Scene(images, true_classes, keys, self.settings.seed, steps, slots, self._zero, suffix)
            for suffix in self.settings.view_suffixes()
        )
        return [view.prepare(scene) for view, scene in zip(self.settings.view_parts, scenes, strict=True)]

    def _choose_copies(self, images: Tensor, keys: Sequence[str], steps: int) -> list[list[tuple[Copy, ...]]]:
        """Return which copies are seen in each step: [steps][copies_seen][views]."""
        settings = self.settings
        counts, seen = [view.copies for view in settings.view_parts], settings.copies_seen
        if settings.copy_order == "in_turn":
            # The steps after a warm-up, which make the image, see all copies, however many turns that took.
            return copies_in_turn(counts, settings.warm_up_steps, seen) + copies_in_turn(counts, settings.steps, seen)
        return drawn_copies(counts, keys, settings.seed, images.device, steps=steps, a_step=seen)
