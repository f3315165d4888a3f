using System.Runtime.CompilerServices;
using Millrace.Streams;
using Millrace.Streams.Engine;
using Millrace.Streams.Engine.Mutations;

namespace Millrace.Tests.Engine;

public sealed class AllocationTests
{
    [Fact]
    public void Append_read_and_ack_allocate_their_results_and_room_for_the_entry_only()
    {
        const int cycles = 20_000;
        var engine = new StreamEngine();
        var fields = EngineRun.Fields("x");
        var ids = new EntryId[1];
        long total = 0;
        engine.Apply(new CreateGroup("s", "g", GroupStart.Beginning), 1, out bool _);
        Cycle(1_000);

        var before = GC.GetAllocatedBytesForCurrentThread();
        Cycle(cycles);
        var perCycle = (GC.GetAllocatedBytesForCurrentThread() - before) / cycles;

        Assert.Equal(1_000 + cycles, total);

        // The array that is returned and the buffer of its fields, and of a block of 100 entries its hundredth part.
        var array = 3 * IntPtr.Size;
        var result = array + Unsafe.SizeOf<DeliveredEntry>() + array + IntPtr.Size;
        Assert.InRange(perCycle, result, result + 16);

        void Cycle(int count)
        {
            for (var i = 0; i < count; i++)
            {
                engine.Apply(new Append("s", fields, null), i, out ids[0]);
                engine.Apply(new ReadGroup("s", "g", "c", 10), i, out DeliveredRange delivered);
                engine.FindStream("s")!.Copy(delivered);
                engine.Apply(new Ack("s", "g", ids), i, out long acked);
                total += acked;
                engine.Signals.Clear();
            }
        }
    }
}
