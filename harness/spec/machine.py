"""The machine that an arm runs on; it determines how wide the window for a second kill is."""

# auto: KVM if a guest really boots with it, else tcg, QEMU's software emulation.
ACCELERATIONS = ("auto", "kvm", "tcg")
